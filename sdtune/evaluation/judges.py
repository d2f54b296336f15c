"""The networks that judge pictures, loaded once and brought to a device when they are needed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from sdtune._imports import TORCHVISION_AVAILABLE
from sdtune.adapters.random_state import isolated_random_state
from sdtune.metrics.features import (
    CLIPEmbedder,
    DINOEmbedder,
    check_clip,
    check_dino,
    load_clip,
    load_dino,
)
from sdtune.metrics.lpips_diversity import Distance, load_lpips

__all__ = ["Judges", "judge_problems", "load_judges"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Judges:
    """Frozen networks.

    Attributes:
        clip: For the CLIP score, CLIP-I, CLIP-MMD, copies and drift.
        dino: For DINO; None leaves it out.
        lpips: For diversity; None leaves it out.
    """

    clip: CLIPEmbedder
    dino: DINOEmbedder | None = None
    lpips: Distance | None = None

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


def judge_problems(clip: str, dino: str | None) -> list[str]:
    """List what keeps the networks from being loaded; reads their configurations alone.

    Args:
        clip: See `load_clip`.
        dino: See `load_dino`; None leaves DINO out.

    Returns:
        A sentence for each network that is not available here.
    """
    problems = []
    for check, source in ((check_clip, clip), (check_dino, dino)):
        if source is not None:
            try:
                check(source)
            except ValueError as error:
                problems.append(str(error))
    return problems


def load_judges(clip: str, dino: str | None, num_seeds: int) -> Judges:
    """Load the networks, and say which metrics have to be left out.

    Args:
        clip: See `load_clip`.
        dino: See `load_dino`; None leaves DINO out.
        num_seeds: Pictures of each prompt; diversity needs two.

    Returns:
        The networks on the CPU.

    Raises:
        ValueError: If one of them is not available here; one sentence says what to do.
    """
    with isolated_random_state():
        if dino is None:
            log.info("DINO is not measured: give `dino` a model, such as facebook/dinov2-small.")
        return Judges(
            clip=load_clip(clip),
            dino=None if dino is None else load_dino(dino),
            lpips=_load_lpips(num_seeds),
        )


def _load_lpips(num_seeds: int) -> Distance | None:
    if num_seeds < 2:
        log.info("Diversity is not measured: it needs two seeds.")
        return None
    if not TORCHVISION_AVAILABLE:
        log.info('Diversity is not measured: it needs pip install "sdtune[lpips]".')
        return None
    try:
        return load_lpips()
    except ValueError as error:
        log.info("Diversity is not measured: %s", error)
        return None
