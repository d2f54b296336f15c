"""Pictures of one subject and, beside them, pictures of the class that it is of."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from sdtune._checks import check_all, check_positive
from sdtune.data.class_pictures import ClassPictures, Draw
from sdtune.data.picture_module import PictureDataModule
from sdtune.data.pictures import Crop, Picture, PictureDataset, scan_pictures
from sdtune.data.prompt_templates import OBJECT_TEMPLATES, STYLE_TEMPLATES, LearnableProperty
from sdtune.functional.randomness import Stream, counter_generator, counter_uniform

__all__ = ["SubjectDataModule", "SubjectDataset"]

# what stands for the prompt in a template
_SLOT = "{}"

_TEMPLATES: Mapping[str, Sequence[str]] = {"object": OBJECT_TEMPLATES, "style": STYLE_TEMPLATES}


class SubjectDataModule(PictureDataModule):
    """A few pictures of one subject, to learn it from, and pictures of its class, to keep those.

    What the model is told of an instance picture is `instance_prompt`, the same for all, or the
    caption beside it, as in `StyleDataModule`; a template may be put around either. Class pictures
    are those in `class_dir`; or, with a `class_prompt` alone, a technique that preserves its prior
    lets the untuned base draw them: once, into the cache. A batch then holds as many of them as
    instance pictures, in entries whose names begin with `class_`.

    Args:
        instance_dir: Folder with the pictures of the subject, at any depth.
        instance_prompt: What they show, such as "a photo of erica cat"; None reads the caption of
            each.
        class_dir: Folder with pictures of the class, all of which are used.
        class_prompt: What class pictures show, such as "a photo of a cat", or a list of such
            texts, which the pictures to be drawn take in turn. None reads the captions in
            `class_dir`; without one, there are no class pictures.
        class_count: Number of class pictures to draw, when there is no `class_dir`.
        prompt_templates: Texts with `{}` where an instance's prompt or caption goes; each sample
            draws one of them. `object` and `style` are those of `sdtune.data.prompt_templates`;
            None is the prompt alone.
        caption_replacements: Words of the captions and what to put in their places, such as
            {cat: erica cat}: the subject's name goes into captions that know none. Whole words,
            the longest first.
        resolution: Side of the square, in pixels, a multiple of 8; None takes the model's own.
        batch_size: Instance pictures in a batch, on each device.
        crop: Where the square is cut out. "random" moves it every epoch, and then latents cannot
            be cached.
        flip: Whether half of the instance samples are mirrored, left to right.
        repeats: How often an epoch shows each instance picture.
        caption_dropout: Share of the instance samples that get an empty prompt, in [0, 1].
        num_workers: Processes that read pictures; cached latents are in memory and use none.
        cache_latents: Whether every picture is encoded once and kept, when the crop is not random.
        cache_dir: Folder for class pictures and latents; None is `$SDTUNE_CACHE` or
            `~/.cache/sdtune`.
        seed: Seed of order, crop, flip, templates, caption dropout and of the class pictures'
            order.

    Raises:
        ValueError: If arguments are out of their ranges, with a line for each.
    """

    def __init__(
        self,
        instance_dir: str | Path,
        instance_prompt: str | None = None,
        class_dir: str | Path | None = None,
        class_prompt: str | list[str] | None = None,
        class_count: int = 200,
        prompt_templates: LearnableProperty | list[str] | None = None,
        caption_replacements: dict[str, str] | None = None,
        resolution: int | None = None,
        batch_size: int = 1,
        crop: Crop = "center",
        flip: bool = False,
        repeats: int = 1,
        caption_dropout: float = 0.0,
        num_workers: int = 0,
        cache_latents: bool = True,
        cache_dir: str | Path | None = None,
        seed: int = 42,
    ) -> None:
        super().__init__(
            resolution=resolution,
            batch_size=batch_size,
            crop=crop,
            flip=flip,
            num_workers=num_workers,
            cache_latents=cache_latents,
            cache_dir=cache_dir,
            seed=seed,
        )
        class_prompts = [class_prompt] if isinstance(class_prompt, str) else class_prompt
        templates = _TEMPLATES.get(str(prompt_templates), prompt_templates)
        check_all(
            lambda: _check_texts("instance_prompt", [instance_prompt]),
            lambda: _check_texts("class_prompt", class_prompts),
            lambda: _check_one_prompt(class_prompts, class_dir),
            lambda: check_positive("class_count", class_count, of="integer"),
            lambda: _check_templates(templates),
            lambda: _check_replacements(caption_replacements, instance_prompt),
            lambda: check_positive("repeats", repeats, of="integer"),
            lambda: _check_share("caption_dropout", caption_dropout),
        )
        instance_dir = str(instance_dir)  # a Path in a checkpoint would need pickle to be read back
        class_dir = None if class_dir is None else str(class_dir)
        # the seed is the model's hyperparameter too, and Lightning refuses two values for one name
        self.save_hyperparameters(ignore=["seed", "cache_dir", "num_workers"])
        self.instance_dir = instance_dir
        self.instance_prompt = instance_prompt
        self.class_dir = class_dir
        self.class_prompts = class_prompts
        self.class_count = class_count
        self.prompt_templates = list(templates or [_SLOT])
        self.caption_replacements = caption_replacements or {}
        self.repeats = repeats
        self.caption_dropout = caption_dropout

    @property
    def has_class_pictures(self) -> bool:
        """Whether there are class pictures, or a prompt to draw them by."""
        return self.class_dir is not None or self.class_prompts is not None

    def problems(self) -> list[str]:
        """List everything that keeps the folders from being trained on; reads files, no weights.

        Returns:
            One line each: a path, what is wrong with it, and what to do. Empty if all is well.
        """
        instances, problems = scan_pictures(self.instance_dir, self.instance_prompt)
        problems += self._unreplaced(instances)
        if self.class_dir is not None:
            if Path(self.class_dir).resolve().is_relative_to(Path(self.instance_dir).resolve()):
                problems.append(
                    f"{self.class_dir}: lies within {self.instance_dir}, so that its pictures are "
                    "taken for the subject's as well; move it out of `data.instance_dir`."
                )
            problems += self._scan_class()[1]
        return problems

    def build_datasets(self) -> tuple[PictureDataset, ...]:
        """Read the instance pictures; class pictures come with `make_class_pictures`."""
        pictures, _ = scan_pictures(self.instance_dir, self.instance_prompt)
        train = SubjectDataset(
            [replace(each, caption=self._replaced(each.caption)) for each in pictures],
            templates=self.prompt_templates,
            resolution=self.resolution,
            crop=self.crop,
            flip=self.flip,
            repeats=self.repeats,
            caption_dropout=self.caption_dropout,
            seed=self.seed,
        )
        return train, PictureDataset([], resolution=self.resolution)

    def make_class_pictures(self, draw: Draw, key: str) -> None:
        """Put class pictures beside the instance pictures; from then on batches hold both.

        Those in `class_dir` are taken as they are. Otherwise they are drawn, or found in the cache
        if an earlier run has drawn them. Of several processes each draws its share.

        Args:
            draw: The untuned base: texts and seeds, B each, to pictures (B, 3, H, W) in [0, 1].
            key: What draws: weights, sampler's settings, size. Another key finds none of these
                pictures.

        Raises:
            RuntimeError: If there is neither a `class_dir` nor a `class_prompt`.
        """
        if not self.has_class_pictures:
            raise RuntimeError(
                "Expected `class_prompt` or `class_dir` to be given, but both are None."
            )
        train, validation = self._built_datasets()[:2]
        if not isinstance(train, SubjectDataset):
            raise TypeError(f"Expected a SubjectDataset, but got {type(train).__name__}.")
        pictures = self._scan_class()[0] if self.class_dir else self._drawn_class(draw, key)
        train.class_dataset = PictureDataset(pictures, resolution=self.resolution, seed=self.seed)
        self._datasets = (train, validation, train.class_dataset)

    def _drawn_class(self, draw: Draw, key: str) -> list[Picture]:
        drawn = ClassPictures(
            self._cache_folder() / "class_pictures",
            self.class_prompts or [],
            key,
            self.class_count,
        )
        rank, processes = self._rank()
        if processes > 1 and self.trainer is not None:
            drawn.make(draw, rank, processes)
            self.trainer.strategy.barrier("make_class_pictures")
        drawn.make(draw)
        return [
            Picture(path, path.name, prompt)
            for path, prompt in zip(drawn.paths, drawn.prompts, strict=True)
        ]

    def _scan_class(self) -> tuple[list[Picture], list[str]]:
        caption = self.class_prompts[0] if self.class_prompts else None
        return scan_pictures(str(self.class_dir), caption)

    def _replaced(self, caption: str) -> str:
        if not self.caption_replacements:
            return caption
        words = sorted(self.caption_replacements, key=len, reverse=True)
        pattern = rf"\b(?:{'|'.join(map(re.escape, words))})\b"
        return re.sub(pattern, lambda match: self.caption_replacements[match[0]], caption)

    def _unreplaced(self, pictures: Sequence[Picture]) -> list[str]:
        words = ", ".join(repr(word) for word in self.caption_replacements)
        return [
            f"{picture.path}: its caption {picture.caption!r} holds none of the words that "
            f"`data.caption_replacements` replaces ({words}); change one or the other."
            for picture in pictures
            if words and self._replaced(picture.caption) == picture.caption
        ]


class SubjectDataset(PictureDataset):
    """Instance pictures and, once `class_dataset` is set, a class picture beside each sample.

    Which class picture goes with which sample is a function of (seed, epoch, index): all of them
    are shown, each time in a new order, before one is shown again.

    Args:
        pictures: The instance pictures.
        templates: Texts with `{}` for the caption; each sample draws one.
        **arguments: See `PictureDataset`.
    """

    def __init__(
        self, pictures: Sequence[Picture], *, templates: Sequence[str], **arguments: Any
    ) -> None:
        super().__init__(pictures, **arguments)
        self.templates = list(templates)
        self.class_dataset: PictureDataset | None = None

    def __getitem__(self, key: int | tuple[int, int]) -> dict[str, Any]:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        sample = super().__getitem__((epoch, index))
        if sample["caption"]:  # an empty one was dropped
            drawn = counter_uniform(self.seed, Stream.TEMPLATE, epoch, index)
            template = self.templates[int(drawn * len(self.templates))]
            sample["caption"] = template.replace(_SLOT, sample["caption"])
        if self.class_dataset is None:
            return sample
        beside = self.class_dataset[epoch, self._class_index(epoch, index)]
        return {**sample, **{f"class_{name}": value for name, value in beside.items()}}

    def captions(self) -> list[str]:
        """List the distinct captions that samples may have, the empty one included if it occurs."""
        return [
            template.replace(_SLOT, caption) if caption else ""
            for caption in super().captions()
            for template in (self.templates if caption else [""])
        ]

    def _class_index(self, epoch: int, index: int) -> int:
        count = len(self.class_dataset or ())
        turn, place = divmod(epoch * len(self) + index, count)
        generator = counter_generator(self.seed, Stream.CLASS_ORDER, turn)
        return int(torch.randperm(count, generator=generator)[place])


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


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"Expected `{name}` to be in [0, 1], but got {value}.")
