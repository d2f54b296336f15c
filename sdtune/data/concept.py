"""What there is to know of one subject: its pictures, what they show, and those of its class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import gcd
from pathlib import Path

from sdtune._checks import check_all, check_positive
from sdtune._prompt_fields import PromptFields, Subject
from sdtune._wording import counted, with_article
from sdtune.data.concept_checks import (
    check_noun,
    check_one_prompt,
    check_replacements,
    check_templates,
    check_texts,
)
from sdtune.data.pictures import Picture
from sdtune.data.problems import OnProblem, Problem
from sdtune.data.prompt_templates import OBJECT_TEMPLATES, STYLE_TEMPLATES, LearnableProperty
from sdtune.data.scan import Scan, scan_folder
from sdtune.data.sources.registry import check_source
from sdtune.data.subject_captions import SubjectCaptions

__all__ = ["Concept"]

# what stands for the prompt in a template
_SLOT = "{}"

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
            None is the prompt alone. With a `class_noun`, they go around `instance_prompt` or the
            subject's name, and captions are told as they are.
        caption_replacements: Words of the captions and what to put in their places, such as
            {cat: <erica>}: the subject's name goes into captions that know none. Whole words,
            the longest first. With a `class_noun`, that is what is replaced by default.
        repeats: How often an epoch shows each instance picture, times its own repeats where the
            source gives some.
        source: What reads `instance_dir`, see `StyleDataModule`; None looks what it is.
        caption_column: Where tables and metadata in `instance_dir` hold captions; None finds it.
        image_column: Where tables in `instance_dir` hold pictures; None finds it.
        class_noun: What kind of thing it is, such as "robot". Prompts may then say `{subject}`:
            identifier and noun, or the word that is learned; and `{class}`: the noun, which the
            base and the judges read for both. Pictures without a caption get one.
        identifier: What stands before the noun to mean this one, where no word is learned.
        subject_name: What `{subject}` reads, if neither, such as "<erica> face" for a cat face.
            Where what is beside such a word is not of the noun, it is not used, and that is said.
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
    class_noun: str | None = None
    identifier: str = "sks"
    subject_name: str | None = None

    def check(self) -> None:
        """Check what can be checked without reading a folder.

        Raises:
            ValueError: If values are out of their ranges, with a line for each.
        """
        check_all(
            lambda: check_texts("instance_prompt", [self.instance_prompt]),
            lambda: check_noun(self.class_noun, self.subject_name),
            lambda: check_texts("class_prompt", self.class_prompts),
            lambda: check_one_prompt(self.class_prompts, self.class_dir),
            lambda: check_positive("class_count", self.class_count, of="integer"),
            lambda: check_templates(self._named_templates),
            lambda: check_replacements(self.caption_replacements, self.instance_prompt),
            lambda: check_positive("repeats", self.repeats, of="integer"),
            lambda: check_source(self.source),
        )

    @property
    def class_prompts(self) -> list[str] | None:
        """What class pictures show, one text or several; None if that is not said."""
        if self.class_prompt is None and self.class_noun and self.class_dir is None:
            return [with_article(self.class_noun)]
        return [self.class_prompt] if isinstance(self.class_prompt, str) else self.class_prompt

    @property
    def has_class_pictures(self) -> bool:
        """Whether there are class pictures, or a prompt to draw them by."""
        return self.class_dir is not None or self.class_prompts is not None

    @property
    def templates(self) -> list[str]:
        """Texts with `{}`, one of which goes around the caption of a sample."""
        return list(self._named_templates or [_SLOT])

    @property
    def wraps_names(self) -> bool:
        """Whether templates go around captions that are no more than the subject's name."""
        return self.prompt_templates is not None and self.instance_prompt is None

    def subject(self, placeholder: str = "") -> Subject | None:
        """Name the subject.

        Args:
            placeholder: The word that is learned for it, if one is.

        Returns:
            Its words; None if there is no `class_noun`.
        """
        if self.class_noun is None:
            return None
        noun, name = " ".join(self.class_noun.split()), self.subject_name or ""
        subject = Subject(noun, self.identifier, placeholder, name)
        return subject if subject.fits else replace(subject, name="")

    @property
    def name_note(self) -> list[str]:
        """Say that `subject_name` is not used, if it is that of something else."""
        subject = self.subject()
        if subject is None or not self.subject_name or subject.name:
            return []
        return [f"`{self.subject_name}` is not used, for it does not fit `{subject.noun}`."]

    def prompts(self) -> dict[str, list[str]]:
        """List the texts that may hold fields, by the names of their arguments."""
        return {
            "instance_prompt": [self.instance_prompt] if self.instance_prompt else [],
            "class_prompt": self.class_prompts or [],
            "prompt_templates": self.templates,
            "caption_replacements": list((self.caption_replacements or {}).values()),
        }

    def filled(self, fields: PromptFields, key: str) -> Concept:
        """Fill the fields of its prompts.

        Args:
            fields: What they read.
            key: What the concept is given as, such as `data`.

        Returns:
            The same without fields.

        Raises:
            ValueError: If there is a field that is not known.
        """
        templates, replacements = self._named_templates, self.caption_replacements

        def tuned(name: str, text: str) -> str:
            return fields.tuned(text, f"{key}.{name}")

        return replace(
            self,
            instance_prompt=tuned("instance_prompt", self.instance_prompt or "") or None,
            class_prompt=self.class_prompts
            and [fields.plain(each, f"{key}.class_prompt") for each in self.class_prompts],
            prompt_templates=(
                [tuned("prompt_templates", each) for each in templates] if templates else None
            ),
            caption_replacements=replacements
            and {n: tuned("caption_replacements", each) for n, each in replacements.items()},
        )

    def scan(
        self,
        cache_dir: str | Path | None = None,
        on_problem: OnProblem = "error",
        subject: Subject | None = None,
    ) -> Scan:
        """Read the instance pictures.

        Args:
            cache_dir: The cache, see `scan_folder`.
            on_problem: Likewise.
            subject: Its words, which go into the captions; None takes those of `subject()`.

        Returns:
            Those that open, with the captions that they are trained with; and all
            problems. With a `class_noun`, a picture
            in a plain folder may have an empty caption, for which one is to be made.
        """
        scan = scan_folder(
            self.instance_dir,
            self.instance_prompt,
            cache_dir,
            source=self.source,
            caption_column=self.caption_column,
            image_column=self.image_column,
            on_problem=on_problem,
            optional_captions=self.class_noun is not None,
        )
        if self.instance_prompt is not None:
            return scan
        pictures = scan.pictures
        captions = SubjectCaptions(subject or self.subject(), self.caption_replacements)
        named = [
            replace(
                each,
                caption=captions.named(each.caption),
                other_captions=tuple(map(captions.named, each.other_captions)),
            )
            if each.caption
            else each
            for each in pictures
        ]
        without = [
            (picture, caption)
            for picture in pictures
            for caption in picture.captions
            if caption and not captions.finds_words(caption)
        ]
        if not self.caption_replacements:
            return replace(scan, pictures=named, notes=[*scan.notes, *self._named_note(without)])
        words = ", ".join(repr(word) for word in self.caption_replacements)
        unnamed = [
            Problem(
                str(picture.path),
                f"its caption {caption!r} holds none of the words that `caption_replacements` "
                f"replaces ({words}); change one or the other.",
            )
            for picture, caption in without
        ]
        scan = replace(scan, pictures=named)
        if on_problem == "skip" and unnamed:
            return scan.leaving_out(unnamed)
        return replace(scan, problems=[*scan.problems, *unnamed])

    def _named_note(self, without: Sequence[tuple[Picture, str]]) -> list[str]:
        """Say which captions do not name the subject, and so begin with it."""
        if not without:
            return []
        have = counted(len(without), "caption does", "captions do")
        return [
            f"{have} not name `{self.class_noun}`, and begin with the subject, such as that of "
            f"{without[0][0].name} ({without[0][1]})."
        ]

    def scan_class(
        self, cache_dir: str | Path | None = None, on_problem: OnProblem = "error"
    ) -> Scan:
        """Read the pictures in `class_dir`.

        Args:
            cache_dir: The cache, see `scan_folder`.
            on_problem: Likewise.

        Returns:
            Those that open and have a caption; and all problems. Empty if there is no
            such folder.
        """
        if self.class_dir is None:
            return Scan()
        caption = self.class_prompts[0] if self.class_prompts else None
        scan = scan_folder(self.class_dir, caption, cache_dir, on_problem=on_problem)
        problems = list(scan.problems)
        lacking = ("has no caption;", "has a caption;")  # one of them, or all
        if caption is None and any(
            words in each.sentence for each in problems for words in lacking
        ):
            problems.insert(
                0,
                Problem(
                    str(self.class_dir),
                    "class pictures there have no caption, and `class_prompt` is not given; give "
                    'it, one text for all of them, such as "a photo of a '
                    f'{self.class_noun or "cat"}", or write the captions.',
                ),
            )
        if Path(self.class_dir).resolve().is_relative_to(Path(self.instance_dir).resolve()):
            problems.insert(
                0,
                Problem(
                    str(self.class_dir),
                    f"lies within {self.instance_dir}, so that its pictures are taken for the "
                    "subject's as well; move it out of there.",
                ),
            )
        return replace(scan, pictures=_in_lowest_terms(scan.pictures), problems=problems)

    @property
    def _named_templates(self) -> Sequence[str] | None:
        return _TEMPLATES.get(str(self.prompt_templates), self.prompt_templates)


def _in_lowest_terms(pictures: Sequence[Picture]) -> list[Picture]:
    """Reduce repeats: class pictures go round and round, so that only their ratios count."""
    common = gcd(*(each.repeats for each in pictures))
    return [replace(each, repeats=each.repeats // common) for each in pictures]
