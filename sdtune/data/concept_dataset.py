"""Instance pictures of subjects as a data set, and a class picture with each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from sdtune.data.buckets import Size
from sdtune.data.caption_rules import CaptionRules
from sdtune.data.concept import Concept
from sdtune.data.pictures import Picture, PictureDataset
from sdtune.data.rounds import Rounds
from sdtune.functional.randomness import Stream, counter_generator, counter_uniform

__all__ = ["ConceptDataset"]

# what stands for the prompt in a template
_SLOT = "{}"

# class pictures, or orders of them: to draw an order of so few takes no longer than to look it up
_FEW = 16


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
        names: What the model reads for each concept: templates go around that caption alone, for
            others are sentences already. None, also for one of them, takes all for names.
        **arguments: See `PictureDataset`; `repeats` are the concepts' own.
    """

    def __init__(
        self,
        concepts: Sequence[Concept],
        pictures: Sequence[Sequence[Picture]],
        mixed: Sequence[Picture] = (),
        mixed_repeats: int = 1,
        names: Sequence[str | None] | None = None,
        **arguments: Any,
    ) -> None:
        pictures = [*pictures, mixed] if mixed else pictures
        super().__init__([picture for each in pictures for picture in each], **arguments)
        self.templates = [each.templates for each in concepts] + ([[_SLOT]] if mixed else [])
        self._names = [*(names or [None] * len(concepts)), None]
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
            templates = self._templates_of(concept, self.pictures[self._position(index)])
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
                    for template in self._templates_of(concept, picture)
                )
            )
            for concept, pictures in enumerate(self.pictures_by_concept())
        ]

    def sizes_by_concept(self) -> list[list[Size]]:
        """List the distinct sizes at which the pictures of each are read."""
        positions = iter(range(len(self.pictures)))
        return [
            sorted({self.target_of(position) for position in islice(positions, count)})
            for count in self._counts
        ]

    def _templates_of(self, concept: int, picture: Picture) -> list[str]:
        """List the templates of a picture: none for a caption that says more than a name."""
        is_sentence = self._names[concept] not in (None, picture.caption)
        return [_SLOT] if is_sentence else self.templates[concept]

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


def _class_order(seed: int, turn: int, count: int) -> Tensor:
    generator = counter_generator(seed, Stream.CLASS_ORDER, turn)
    return torch.randperm(count, generator=generator).to(torch.int32)
