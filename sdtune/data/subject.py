"""Pictures of one subject and, beside them, pictures of the class that it is of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sdtune.data.concept import Concept
from sdtune.data.concept_module import ConceptPicturesModule
from sdtune.data.prompt_templates import LearnableProperty

__all__ = ["SubjectDataModule"]


class SubjectDataModule(ConceptPicturesModule):
    """A few pictures of one subject, to learn it from, and pictures of its class, to keep those.

    What the model is told of an instance picture is `instance_prompt`, the same for all, or the
    caption beside it, as in `StyleDataModule`; a template may be put around either. Class pictures
    are those in `class_dir`; or, with a `class_prompt` alone, a technique that preserves its prior
    lets the untuned base draw them: once, into the cache. A batch then holds as many of them as
    instance pictures, in entries whose names begin with `class_`.

    Args:
        instance_dir: Folder with the pictures of the subject, at any depth, or another location
            that a source knows, as in `StyleDataModule`.
        instance_prompt: What they show, such as "a photo of erica cat"; None reads the caption of
            each.
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
            {cat: erica cat}: the subject's name goes into captions that know none. Whole words,
            the longest first. With a `class_noun`, that is what is replaced by default.
        repeats: How often an epoch shows each instance picture, times its own repeats where the
            source gives some.
        source: What reads `instance_dir`, as in `StyleDataModule`; None looks what it is.
        caption_column: Where tables and metadata in `instance_dir` hold captions; None finds it.
        image_column: Where tables in `instance_dir` hold pictures; None finds it.
        class_noun: What kind of thing the subject is, such as "robot". All prompts may then say
            `{subject}`: identifier and noun ("qqq robot"), or the word that is learned
            ("<robot>"); and `{class}`: the noun, which the base and the judges read for both. The
            noun is found in captions and replaced by the subject's words, and pictures without a
            caption get one.
        identifier: What stands before the noun to mean this one, where no word is learned.
        subject_name: What `{subject}` reads, if neither, such as "<erica> face" for a cat face.
            Where what is beside such a word is not of the noun, it is not used, and that is said.
        **kwargs: See `PictureDataModule`; and `captioner` and `write_captions`, see
            `ConceptPicturesModule`.

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
        repeats: int = 1,
        source: str | None = None,
        caption_column: str | None = None,
        image_column: str | None = None,
        class_noun: str | None = None,
        identifier: str = "sks",
        subject_name: str | None = None,
        **kwargs: Any,
    ) -> None:
        instance_dir = str(instance_dir)  # a Path in a checkpoint would need pickle to be read back
        class_dir = None if class_dir is None else str(class_dir)
        concept = Concept(
            instance_dir=instance_dir,
            instance_prompt=instance_prompt,
            class_dir=class_dir,
            class_prompt=class_prompt,
            class_count=class_count,
            prompt_templates=prompt_templates,
            caption_replacements=caption_replacements,
            repeats=repeats,
            source=source,
            caption_column=caption_column,
            image_column=image_column,
            class_noun=class_noun,
            identifier=identifier,
            subject_name=subject_name,
        )
        super().__init__([concept], **kwargs)
