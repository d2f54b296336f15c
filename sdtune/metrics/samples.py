"""What a metric reads: a model's pictures, and what they are compared with, seen once for all."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from sdtune.metrics.images import to_grey
from sdtune.metrics.judges import Judges, given

__all__ = ["GREY_SIZE", "Need", "Pictures", "Reference", "Samples", "see"]

Need = Literal["clip", "dino", "grey", "lpips", "style", "training", "class_pictures", "base"]
"""A judge (`clip`, `dino`, `lpips`, `style`), grey pictures of one size, the training pictures as
those judges see them, the pictures of the class's prompts, or the base's samples."""

GREY_SIZE = 64
"""Width and height at which grey pictures are compared, in pixels; nano's, so that figures of nano
and of larger models are of one scale."""

T = TypeVar("T")

_VIEWS: dict[str, Callable[[Tensor, Judges], Tensor]] = {
    "clip": lambda images, judges: given(judges.clip, "clip").embed_images(images).cpu(),
    "dino": lambda images, judges: given(judges.dino, "dino").embed_images(images).cpu(),
    "grey": lambda images, judges: to_grey(images, GREY_SIZE),
}


@dataclass(frozen=True)
class Pictures:
    """Pictures as the judges see them.

    Attributes:
        views: Judge -> what it sees, a row for each picture, on the CPU.
        images: (B, 3, H, W) in [0, 1]; None if they are too many to be held, see `Reference.read`.
    """

    views: Mapping[str, Tensor]
    images: Tensor | None = None

    @property
    def pixels(self) -> Tensor:
        """The pictures themselves: (B, 3, H, W) in [0, 1]."""
        return given(self.images, "images")

    @property
    def clip(self) -> Tensor:
        """(B, D) unit vectors by CLIP."""
        return given(self.views.get("clip"), "clip")

    @property
    def dino(self) -> Tensor:
        """(B, D) unit vectors by DINO."""
        return given(self.views.get("dino"), "dino")

    @property
    def grey(self) -> Tensor:
        """(B, 1, 64, 64) in [0, 1]."""
        return given(self.views.get("grey"), "grey")


def see(batches: Iterable[Tensor], judges: Judges, needs: Collection[str]) -> dict[str, Tensor]:
    """Show pictures to the judges, all in one pass.

    Args:
        batches: (b, 3, H, W) in [0, 1], a few at a time.
        judges: The networks.
        needs: What metrics need; what is no view is passed over.

    Returns:
        View -> a row for each picture, on the CPU.
    """
    wanted = {name: view for name, view in _VIEWS.items() if name in needs}
    found: dict[str, list[Tensor]] = {name: [] for name in wanted}
    if wanted:
        for images in batches:
            for name, view in wanted.items():
                found[name].append(view(images, judges))
    return {name: torch.cat(rows) for name, rows in found.items()}


@dataclass(frozen=True)
class Reference:
    """What the samples of all models are compared with.

    Attributes:
        judges: The networks.
        prompts: What is drawn, as a judge shall read it: without learned words.
        training: The training pictures.
        held_out: Pictures of the same kind that were not trained on; there may be none.
        read: Reads the training pictures once more, (b, 3, H, W) in [0, 1] a few at a time, for a
            metric with a network of its own.
    """

    judges: Judges
    prompts: Sequence[str] = ()
    training: Pictures = field(default_factory=lambda: Pictures({}))
    held_out: Pictures = field(default_factory=lambda: Pictures({}))
    read: Callable[[], Iterator[Tensor]] = field(default=lambda: iter(()))
    _found: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    def once(self, compute: Callable[[Reference], T]) -> T:
        """Compute something of the reference once, however many metrics and models ask for it."""
        if compute not in self._found:
            self._found[compute] = compute(self)
        result: T = self._found[compute]
        return result


@dataclass(frozen=True)
class Samples:
    """The pictures of one model.

    Attributes:
        pictures: What it drew of the prompts, prompts outside and seeds inside.
        prompt_ids: For each picture the position of its prompt in `Reference.prompts`.
        reference: What they are compared with.
        class_pictures: What it drew of the class's prompts, likewise; None if there are none.
        base: The base's samples of the same prompts and seeds; None if these are they.
    """

    pictures: Pictures
    prompt_ids: Sequence[int]
    reference: Reference
    class_pictures: Pictures | None = None
    base: Samples | None = None
    _found: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def judges(self) -> Judges:
        """The networks."""
        return self.reference.judges

    @property
    def training(self) -> Pictures:
        """The training pictures."""
        return self.reference.training

    def once(self, compute: Callable[[Samples], T]) -> T:
        """Compute something of these samples once, however many metrics ask for it."""
        if compute not in self._found:
            self._found[compute] = compute(self)
        result: T = self._found[compute]
        return result
