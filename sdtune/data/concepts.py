"""Pictures of several subjects, to learn all of them at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

from sdtune._checks import check_all, check_positive
from sdtune.data.concept import Concept
from sdtune.data.concept_dataset import ConceptDataset
from sdtune.data.concept_module import ConceptPicturesModule
from sdtune.data.mixed_pictures import MixedPictures, Mixture
from sdtune.data.module_checks import settings_of
from sdtune.data.pictures import Picture, PictureDataset

__all__ = ["ConceptsDataModule"]

# a word that a technique learns, such as <erica>
_WORD = re.compile(r"<[^<>\s]+>")


class ConceptsDataModule(ConceptPicturesModule):
    """Pictures of several subjects, in batches that mix them, for `MultiConceptModule`.

    Every epoch shows each subject's pictures `repeats` times, in one order over all subjects that
    is a function of (seed, epoch). A subject is told from the others by a word in angle brackets
    in all of its captions, which `instance_prompt` or `caption_replacements` puts there.

    Subjects that were only ever seen alone are easily mistaken for each other where both stand in
    one prompt. `mixed_prompts` adds pictures of two side by side, see `side_by_side`.

    Args:
        concepts: The subjects: each an `instance_dir`, with `instance_prompt`, `class_dir`,
            `class_prompt`, `class_count`, `prompt_templates`, `caption_replacements`, `repeats`,
            `source`, `caption_column`, `image_column`, `class_noun`, `identifier` and
            `subject_name` as in `SubjectDataModule`. All have class pictures, or none. In prompts
            of a concept `{subject}` is that one; in all others they have numbers, `{subject_1}`.
        mixed_prompts: What mixed pictures show, such as "a {subject_1} next to a {subject_2}",
            taken in turn. Each holds the words of two subjects; the first stands left. None mixes
            nothing.
        mixed_count: Number of mixed pictures.
        mixed_repeats: How often an epoch shows each of them.
        **kwargs: See `PictureDataModule`.

    Raises:
        ValueError: If arguments are out of their ranges, with a line for each.
    """

    def __init__(
        self,
        concepts: list[Concept],
        mixed_prompts: list[str] | None = None,
        mixed_count: int = 64,
        mixed_repeats: int = 1,
        **kwargs: Any,
    ) -> None:
        if not concepts:
            raise ValueError("Expected `concepts` to hold one or more, but got none.")
        concepts = [
            settings_of(f"concepts[{number}]", Concept, each)
            for number, each in enumerate(concepts)
        ]
        super().__init__(
            concepts,
            [
                lambda: _check_mixed_prompts(mixed_prompts),
                lambda: check_positive("mixed_count", mixed_count, of="integer"),
                lambda: check_positive("mixed_repeats", mixed_repeats, of="integer"),
            ],
            **kwargs,
        )
        _check_class_pictures(concepts)
        self.mixed_prompts = mixed_prompts or []
        self.mixed_count = mixed_count
        self.mixed_repeats = mixed_repeats
        self._composed_for: PictureDataset | None = None
        self._placeholders = [subject.word if subject else "" for subject in self.subjects]
        self.save_plain(concepts=[_plain(concept) for concept in concepts])

    def problems(self) -> list[str]:
        """List everything that keeps the folders from being trained on; reads files, no weights.

        Returns:
            One line each. A word that stands in all captions of two subjects is a problem too:
            they would be learned as one; and so is a mixed prompt without the words of two.
        """
        problems = super().problems()
        unknown = self.prompt_fields.problems(self.mixed_prompts, "data.mixed_prompts")
        if unknown or self._unknown_fields():  # captions are not yet what they will be
            return [*problems, *unknown]
        train = self._build_train()
        words = self._words(train)
        shared = [
            f"{self.concepts[first].instance_dir} and {self.concepts[second].instance_dir}: the "
            f"captions of both hold `{word}`; give each concept a word of its own, in its "
            "`instance_prompt` or `caption_replacements`."
            for first, second in combinations(range(len(words)), 2)
            for word in sorted(words[first] & words[second])
        ]
        # a concept without pictures is listed itself, and would make every prompt wrong
        mixed = self._mixed_problems(words) if all(train.pictures_by_concept()) else []
        return [*problems, *shared, *mixed]

    def build_datasets(self) -> tuple[PictureDataset, ...]:
        """Read the instance pictures; mixed ones are composed once the resolution is known."""
        prompts = self._mixed_prompts()
        mixed = [
            # a name for now: where the file is depends on the resolution
            Picture(Path(name), name, prompts[number % len(prompts)])
            for number in range(self.mixed_count if prompts else 0)
            for name in [f"mixed_{number:06d}.png"]
        ]
        train = self._build_train(mixed, self.mixed_repeats)
        return train, PictureDataset([], resolution=self.resolution)

    def _complete(self, train: ConceptDataset, resolution: int) -> None:
        if not self.mixed_prompts or train is self._composed_for:
            return
        self._composed_for = train
        words = self._words(train)
        paths = [[picture.path for picture in each] for each in train.pictures_by_concept()]
        mixtures = [
            Mixture(prompt, *(paths[concept] for concept in _named_concepts(prompt, words)))
            for prompt in self._mixed_prompts()
        ]
        folder = self._cache_folder() / "mixed_pictures"
        mixed = MixedPictures(folder, mixtures, resolution, self.mixed_count, self.seed)
        mixed.make()
        first = len(train.originals)
        train.pictures[first:] = [
            replace(picture, path=path)
            for picture, path in zip(train.pictures[first:], mixed.paths, strict=True)
        ]

    def _mixed_prompts(self) -> list[str]:
        fields = self.prompt_fields
        return [fields.tuned(each, "data.mixed_prompts") for each in self.mixed_prompts]

    def _words(self, train: ConceptDataset) -> list[set[str]]:
        """Find the words of each concept; mixed captions rightly hold those of two."""
        return [_shared_words(each) for each in train.captions_by_concept()[: len(self.concepts)]]

    def _mixed_problems(self, words: Sequence[set[str]]) -> list[str]:
        known = ", ".join(f"`{word}`" for each in words for word in sorted(each))
        return [
            "Expected each of `data.mixed_prompts` to hold the words of two of the concepts (of "
            f"{known}) and no others, but got {found}: {prompt!r}."
            for prompt in self._mixed_prompts()
            for found in [", ".join(f"`{each}`" for each in _words_in(prompt)) or "none"]
            if not _names_two(prompt, words)
        ]

    def _check_concept(self, number: int, concept: Concept) -> None:
        try:
            concept.check()
        except ValueError as error:
            problems = getattr(error, "problems", [str(error)])
            check_all(*(partial(_refuse, f"In concept {number + 1}: {each}") for each in problems))


def _refuse(problem: str) -> None:
    raise ValueError(problem)


def _plain(concept: Concept) -> dict[str, object]:
    values = asdict(concept)
    return {key: str(value) if isinstance(value, Path) else value for key, value in values.items()}


def _shared_words(captions: Sequence[str]) -> set[str]:
    """Find the words in angle brackets that all captions hold."""
    found = [set(_words_in(caption)) for caption in captions]
    return set.intersection(*found) if found else set()


def _words_in(caption: str) -> list[str]:
    return _WORD.findall(caption.lower())


def _named_concepts(prompt: str, words: Sequence[set[str]]) -> list[int]:
    """Find the concepts whose words a prompt holds, in its order; -1 is for a word of none."""
    named = [
        next((concept for concept, its in enumerate(words) if word in its), -1)
        for word in _words_in(prompt)
    ]
    return list(dict.fromkeys(named))


def _names_two(prompt: str, words: Sequence[set[str]]) -> bool:
    named = _named_concepts(prompt, words)
    return len(named) == 2 and -1 not in named


def _check_mixed_prompts(prompts: Sequence[str] | None) -> None:
    if prompts is not None and not (prompts and all(each.strip() for each in prompts)):
        raise ValueError(
            f"Expected `mixed_prompts` to be one text or more, or None, but got {list(prompts)!r}."
        )


def _check_class_pictures(concepts: Sequence[Concept]) -> None:
    without = [n for n, each in enumerate(concepts, start=1) if not each.has_class_pictures]
    if 0 < len(without) < len(concepts):
        raise ValueError(
            "Expected all concepts to have a `class_prompt` or `class_dir`, or none, but "
            f"{', '.join(map(str, without))} of {len(concepts)} has neither."
        )
