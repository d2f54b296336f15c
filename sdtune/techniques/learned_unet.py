"""The whole UNet as what learns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from torch import nn

from sdtune.adapters.adapter import Adapter
from sdtune.adapters.whole_unet import TunedUNet
from sdtune.models import StableDiffusion, load
from sdtune.techniques.learned import Learned, LearnedGroup

__all__ = ["LearnedUNet"]


class LearnedUNet(Learned):
    """Every weight of the UNet, in float32."""

    def add_to(self, model: StableDiffusion, *, seed: int, clip_skip: int) -> None:
        """Note the base's hash, which no longer shows once the UNet has learned."""
        model.fingerprint("unet")

    def groups(self, model: StableDiffusion) -> list[LearnedGroup]:
        """Return the UNet's parameters."""
        return [LearnedGroup("unet", list(model.unet.parameters()))]

    @contextmanager
    def switched_off(self, model: StableDiffusion) -> Iterator[None]:
        """Load the base's UNet anew, to keep no second one in memory while training."""
        tuned = model.unet
        untuned = load(model.source).unet
        cast(nn.Module, untuned).to(tuned.device, tuned.dtype)
        model.unet = untuned
        try:
            yield
        finally:
            model.unet = tuned

    def adapters(self, model: StableDiffusion) -> list[Adapter]:
        """Return a copy of the UNet, on the CPU."""
        return [TunedUNet.from_model(model)]

    @property
    def needs_float32(self) -> bool:
        """Always: half precision loses small steps."""
        return True
