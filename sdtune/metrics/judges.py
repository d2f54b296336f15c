"""What judges pictures: frozen networks, brought to a device when they are needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from sdtune.metrics.features import CLIPEmbedder, DINOEmbedder
from sdtune.metrics.lpips import Distance

__all__ = ["Judges", "StyleScorer", "given"]

T = TypeVar("T")


class StyleScorer(Protocol):
    """Places pictures between the base's style and that of the training pictures."""

    def scores(self, images: Tensor) -> Tensor:
        """Turn (B, 3, H, W) in [0, 1] into (B,): 0 where the base draws, 1 in the style."""


@dataclass(frozen=True)
class Judges:
    """Frozen networks; None is one that no metric needs, or that cannot be had.

    Attributes:
        clip: For pictures and texts.
        dino: For pictures.
        lpips: For distances of two pictures.
        style: For the style, once the base has drawn what it compares with.
        missing: Judge -> why it cannot be had.
        identity: Judge -> what it was made of, so that what it has seen can be kept; None if that
            is not known of all.
    """

    clip: CLIPEmbedder | None = None
    dino: DINOEmbedder | None = None
    lpips: Distance | None = None
    style: StyleScorer | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    identity: Mapping[str, str] | None = None

    @contextmanager
    def on(self, device: torch.device | str) -> Iterator[None]:
        """Bring the networks to a device for a while; between evaluations they use none of it.

        Args:
            device: Where the pictures are drawn.

        Yields:
            Nothing.
        """
        judges = (self.clip, self.dino, self.lpips)
        networks = [each for each in judges if isinstance(each, nn.Module)]
        for network in networks:
            network.to(device)
        try:
            yield
        finally:
            for network in networks:
                network.to("cpu")


def given(judge: T | None, name: str) -> T:
    """Give a judge to a metric that declared its need of it.

    Raises:
        LookupError: If the judge is absent, which is only where it was not declared.
    """
    if judge is None:
        raise LookupError(
            f"Expected a metric that asks for `{name}` to name it in its `needs`, but it does not."
        )
    return judge
