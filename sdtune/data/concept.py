"""What there is to know of one subject: its pictures, what they show, and those of its class."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from math import gcd
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sdtune._checks import check_all, check_positive
from sdtune.data.buckets import Size
from sdtune.data.caption_rules import CaptionRules
from sdtune.data.pictures import Picture, PictureDataset
from sdtune.data.problems import OnProblem
from sdtune.data.prompt_templates import OBJECT_TEMPLATES, STYLE_TEMPLATES, LearnableProperty
from sdtune.data.rounds import Rounds
from sdtune.data.scan import Scan, scan_folder
from sdtune.data.sources.registry import check_source
from sdtune.functional.randomness import Stream, counter_generator, counter_uniform

__all__ = ["Concept", "ConceptDataset"]

# what stands for the prompt in a template
_SLOT = "{}"

# class pictures, or orders of them: to draw an order of so few takes no longer than to look it up
_FEW = 16

_TEMPLATES: Mapping[str, Sequence[str]] = {"object": OBJECT_TEMPLATES, "style": STYLE_TEMPLATES}


@dataclass(frozen=True)
class Concept:
    """One subject, and the class that it is of.

    Args:
        instance_dir: Folder with the pictures of the subject, at any depth, or another location
            that a source of `sdtune.data.sources` knows.
        instance_prompt: What they show, such as "a photo of <erica> cat"; None reads the caption
            of each.
        class_dir: Folder with pictures of the class, all of which are used; kohya's regularisation
            folders are recognised.
        class_prompt: What class pictures show, such as "a photo of a cat", or a list of such
            texts, which the pictures to be drawn take in turn. None reads the captions in
            `class_dir`; without one, there are no class pictures.
        class_count: Number of class pictures to draw, when there is no `class_dir`.
        prompt_templates: Texts with `{}` where an instance's prompt or caption goes; each sample
            draws one of them. `object` and `style` are those of `sdtune.data.prompt_templates`;
            None is the prompt alone.
        caption_replacements: Words of the captions and what to put in their places, such as
            {cat: <erica>}: the subject's name goes into captions that know none. Whole words,
            the longest first.
        repeats: How often an epoch shows each instance picture, times its own repeats where the
            source gives some.
        source: What reads `instance_dir`, see `StyleDataModule`; None looks what it is.
        caption_column: Where tables and metadata in `instance_dir` hold captions; None finds it.
        image_column: Where tables in `instance_dir` hold pictures; None finds it.
    """

    instance_dir: str | Path
    instance_prompt: str | None = None
    class_dir: str | Path | None = None
    class_prompt: str | list[str] | None = None
    class_count: int = 200
    prompt_templates: LearnableProperty | list[str] | None = None
    caption_replacements: dict[str, str] | None = None
    repeats: int = 1
    source: str | None = None
    caption_column: str | None = None
    image_column: str | None = None

    def check(self) -> None:
        """Check what can be checked without reading a folder.

        Raises:
            ValueError: If values are out of their ranges, with a line for each.
        """
        check_all(
            lambda: _check_texts("instance_prompt", [self.instance_prompt]),
            lambda: _check_texts("class_prompt", self.class_prompts),
            lambda: _check_one_prompt(self.class_prompts, self.class_dir),
            lambda: check_positive("class_count", self.class_count, of="integer"),
            lambda: _check_templates(self._named_templates),
            lambda: _check_replacements(self.caption_replacements, self.instance_prompt),
            lambda: check_positive("repeats", self.repeats, of="integer"),
            lambda: check_source(self.source),
        )

    @property
    def class_prompts(self) -> list[str] | None:
        """What class pictures show, one text or several; None if that is not said."""
        return [self.class_prompt] if isinstance(self.class_prompt, str) else self.class_prompt

    @property
    def has_class_pictures(self) -> bool:
        """Whether there are class pictures, or a prompt to draw them by."""
        return self.class_dir is not None or self.class_prompt is not None

    @property
    def templates(self) -> list[str]:
        """Texts with `{}`, one of which goes around the caption of a sample."""
        return list(self._named_templates or [_SLOT])

    def scan(self, cache_dir: str | Path | None = None, on_problem: OnProblem = "error") -> Scan:
        """Read the instance pictures.

        Args:
            cache_dir: The cache, see `scan_folder`.
            on_problem: Likewise.

        Returns:
            Those that open, with the captions that they are trained with; and a line for each
            problem: a path, what is wrong with it, and what to do.
        """
        scan = scan_folder(
            self.instance_dir,
            self.instance_prompt,
            cache_dir,
            source=self.source,
            caption_column=self.caption_column,
            image_column=self.image_column,
            on_problem=on_problem,
        )
        pictures = scan.pictures
        named = [
            replace(
                each,
                caption=self._replaced(each.caption),
                other_captions=tuple(map(self._replaced, each.other_captions)),
            )
            for each in pictures
        ]
        words = ", ".join(repr(word) for word in self.caption_replacements or {})
        unnamed = [
            f"{picture.path}: its caption {caption!r} holds none of the words that "
            f"`caption_replacements` replaces ({words}); change one or the other."
            for picture in pictures
            for caption in picture.captions
            if words and self._replaced(caption) == caption
        ]
        scan = replace(scan, pictures=named)
        if on_problem == "skip" and unnamed:
            return scan.leaving_out(unnamed)
        return replace(scan, problems=[*scan.problems, *unnamed])

    def scan_class(
        self, cache_dir: str | Path | None = None, on_problem: OnProblem = "error"
    ) -> Scan:
        """Read the pictures in `class_dir`.

        Args:
            cache_dir: The cache, see `scan_folder`.
            on_problem: Likewise.

        Returns:
            Those that open and have a caption; and a line for each problem. Empty if there is no
            such folder.
        """
        if self.class_dir is None:
            return Scan()
        caption = self.class_prompts[0] if self.class_prompts else None
        scan = scan_folder(self.class_dir, caption, cache_dir, on_problem=on_problem)
        problems = list(scan.problems)
        if Path(self.class_dir).resolve().is_relative_to(Path(self.instance_dir).resolve()):
            problems.insert(
                0,
                f"{self.class_dir}: lies within {self.instance_dir}, so that its pictures are "
                "taken for the subject's as well; move it out of there.",
            )
        return replace(scan, pictures=_in_lowest_terms(scan.pictures), problems=problems)

    @property
    def _named_templates(self) -> Sequence[str] | None:
        return _TEMPLATES.get(str(self.prompt_templates), self.prompt_templates)

    def _replaced(self, caption: str) -> str:
        replacements = self.caption_replacements
        if not replacements:
            return caption
        words = sorted(replacements, key=len, reverse=True)
        pattern = rf"\b(?:{'|'.join(map(re.escape, words))})\b"
        return re.sub(pattern, lambda match: replacements[match[0]], caption)


class ConceptDataset(PictureDataset):
    """Instance pictures of concepts and, once `class_datasets` is set, a class picture with each.

    Which class picture goes with which sample is a function of (seed, epoch, index): all of a
    concept's are shown, each time in a new order, before one is shown again.

    Args:
        concepts: The concepts.
        pictures: The instance pictures of each.
        mixed: Pictures that show two of the concepts from left to right. They are one more concept
            at the end, are never mirrored, and each is beside a class picture of any of the others.
        mixed_repeats: How often an epoch shows each of them.
        **arguments: See `PictureDataset`; `repeats` are the concepts' own.
    """

    def __init__(
        self,
        concepts: Sequence[Concept],
        pictures: Sequence[Sequence[Picture]],
        mixed: Sequence[Picture] = (),
        mixed_repeats: int = 1,
        **arguments: Any,
    ) -> None:
        pictures = [*pictures, mixed] if mixed else pictures
        super().__init__([picture for each in pictures for picture in each], **arguments)
        self.templates = [each.templates for each in concepts] + ([[_SLOT]] if mixed else [])
        self.class_datasets: list[PictureDataset] = []
        self._orders: dict[tuple[int, int], Tensor] = {}
        self._concepts = len(concepts)
        self._counts = [len(each) for each in pictures]
        self._times = [each.repeats for each in concepts] + ([mixed_repeats] if mixed else [])
        self._rounds = [
            Rounds([repeats * picture.repeats for picture in its])
            for repeats, its in zip(self._times, pictures, strict=True)
        ]

    def __len__(self) -> int:
        return sum(self._lengths())

    def sample(self, epoch: int, index: int, target: Size | None = None) -> dict[str, Any]:
        """Make a sample, see `PictureDataset.sample`.

        Args:
            epoch: The epoch.
            index: Which sample of it.
            target: Width and height that the model reads, in pixels; None for the picture's own.

        Returns:
            The instance picture's, and the class picture's in entries that begin with `class_`,
            at the size of the instance picture.
        """
        target = target or self.target_of(self._position(index))
        sample = super().sample(epoch, index, target)
        concept, number = self._locate(index)
        if sample["caption"]:  # an empty one was dropped
            templates = self.templates[concept]
            drawn = counter_uniform(self.seed, Stream.TEMPLATE, epoch, index)
            template = templates[int(drawn * len(templates))]
            sample["caption"] = template.replace(_SLOT, sample["caption"])
        if not self.class_datasets:
            return sample
        class_index = self._class_index(epoch, concept, number)
        beside = self.class_datasets[concept].sample(epoch, class_index, target)
        if "loss_weights" in sample:  # of a class picture all counts
            beside["loss_weights"] = torch.ones_like(sample["loss_weights"])
        return {**sample, **{f"class_{name}": value for name, value in beside.items()}}

    def repeats_by_picture(self) -> list[int]:
        """Say how often an epoch shows each of `pictures`."""
        return [
            times * picture.repeats
            for times, pictures in zip(self._times, self.pictures_by_concept(), strict=True)
            for picture in pictures
        ]

    @property
    def originals(self) -> list[Picture]:
        """The concepts' own pictures, without those that are mixed from them."""
        return super().originals[: sum(self._counts[: self._concepts])]

    def captions(self) -> list[str]:
        """List the distinct captions that samples may have, the empty one included if it occurs."""
        dropped = [""] if self.caption_dropout > 0 else []
        return [each for captions in self.captions_by_concept() for each in captions] + dropped

    def pictures_by_concept(self) -> list[list[Picture]]:
        """List the pictures of each concept, and at the end the mixed ones, if there are any."""
        remaining = iter(self.pictures)
        return [list(islice(remaining, count)) for count in self._counts]

    def captions_by_concept(self) -> list[list[str]]:
        """List the distinct captions that the samples of each may have, see `pictures_by_concept`.

        Returns:
            Captions with every template around them.
        """
        return [
            list(
                dict.fromkeys(
                    template.replace(_SLOT, form) if form else ""
                    for picture in pictures
                    for form in self._forms_of(picture, self._rules_of_concept(concept))
                    for template in templates
                )
            )
            for concept, (pictures, templates) in enumerate(
                zip(self.pictures_by_concept(), self.templates, strict=True)
            )
        ]

    def sizes_by_concept(self) -> list[list[Size]]:
        """List the distinct sizes at which the pictures of each are read."""
        positions = iter(range(len(self.pictures)))
        return [
            sorted({self.target_of(position) for position in islice(positions, count)})
            for count in self._counts
        ]

    def _lengths(self) -> list[int]:
        return [len(each) for each in self._rounds]

    def _locate(self, index: int) -> tuple[int, int]:
        """Find which concept a sample is of, and which of that concept's samples it is."""
        for concept, length in enumerate(self._lengths()):
            if index < length:
                return concept, index
            index -= length
        raise IndexError(f"Expected an index below {len(self)}, but got {index + len(self)}.")

    def _rules_of(self, index: int) -> CaptionRules:
        return self._rules_of_concept(self._locate(index)[0])

    def _rules_of_concept(self, concept: int) -> CaptionRules:
        # a mixed picture's prompt says what stands left and what right
        return self.caption_rules if concept < self._concepts else CaptionRules()

    def _may_flip(self, position: int) -> bool:
        # mirrored, a mixed picture would not show what its prompt says from left to right
        return super()._may_flip(position) and position < sum(self._counts[: self._concepts])

    def _position(self, index: int) -> int:
        concept, number = self._locate(index)
        return sum(self._counts[:concept]) + self._rounds[concept].position(number)

    def _class_index(self, epoch: int, concept: int, number: int) -> int:
        count = len(self.class_datasets[concept])
        length = self._lengths()[concept]
        turn, place = divmod(epoch * length + number, count)
        if count <= _FEW:
            return int(_class_order(self.seed, turn, count)[place])
        # an epoch's samples come in any order, and meet all of its turns: four bytes a sample
        if len(self._orders) > length // count + _FEW:
            self._orders.clear()
        if (concept, turn) not in self._orders:
            self._orders[concept, turn] = _class_order(self.seed, turn, count)
        return int(self._orders[concept, turn][place])


def _in_lowest_terms(pictures: Sequence[Picture]) -> list[Picture]:
    """Reduce repeats: class pictures go round and round, so that only their ratios count."""
    common = gcd(*(each.repeats for each in pictures))
    return [replace(each, repeats=each.repeats // common) for each in pictures]


def _class_order(seed: int, turn: int, count: int) -> Tensor:
    generator = counter_generator(seed, Stream.CLASS_ORDER, turn)
    return torch.randperm(count, generator=generator).to(torch.int32)


def _check_texts(name: str, texts: Sequence[str | None] | None) -> None:
    if texts is not None and not (texts and all(t is None or t.strip() for t in texts)):
        raise ValueError(f"Expected `{name}` to be a text, but got {list(texts)!r}.")


def _check_one_prompt(prompts: Sequence[str] | None, class_dir: str | Path | None) -> None:
    if class_dir is not None and prompts is not None and len(prompts) > 1:
        raise ValueError(
            "Expected `class_prompt` to be one text for all pictures in `class_dir`, or None for "
            f"the captions beside them, but got {list(prompts)!r}."
        )


def _check_templates(templates: Sequence[str] | None) -> None:
    if isinstance(templates, str) or (
        templates is not None and not (templates and all(_SLOT in each for each in templates))
    ):
        raise ValueError(
            "Expected `prompt_templates` to be `object`, `style` or a list of texts with `{}` "
            f"where the prompt goes, but got {templates!r}."
        )


def _check_replacements(replacements: Mapping[str, str] | None, prompt: str | None) -> None:
    if replacements and prompt is not None:
        raise ValueError(
            "Expected `instance_prompt` to be None with `caption_replacements`, which change the "
            f"captions beside the pictures, but got {prompt!r}."
        )
    if replacements is not None and not all(word.strip() for word in replacements):
        raise ValueError(
            f"Expected the words of `caption_replacements` not to be empty, but got {replacements}."
        )
