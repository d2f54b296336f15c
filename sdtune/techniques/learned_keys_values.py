"""The keys and values that read the prompt as what learns (Kumari et al. 2023)."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager

from sdtune.adapters.adapter import Adapter
from sdtune.adapters.keys_values import (
    TARGET_MODULES,
    CrossAttentionAdapter,
    add_tuned_projections,
    tuned_projections,
    without_tuned_projections,
)
from sdtune.models import StableDiffusion
from sdtune.techniques.learned import Learned, LearnedGroup

__all__ = ["LearnedKeysAndValues"]


class LearnedKeysAndValues(Learned):
    """All keys and values of the cross-attention, in full, beside the frozen ones."""

    def add_to(self, model: StableDiffusion, *, seed: int, clip_skip: int) -> None:
        """Put weights that learn beside the frozen ones, with the same values."""
        add_tuned_projections(model)

    def groups(self, model: StableDiffusion) -> list[LearnedGroup]:
        """Return the weights of keys and values."""
        weights = [layer.weight for layer in tuned_projections(model).values()]
        return [LearnedGroup("unet", weights)]

    def switched_off(self, model: StableDiffusion) -> AbstractContextManager[None]:
        """Use the frozen ones."""
        return without_tuned_projections(model)

    def adapters(self, model: StableDiffusion) -> list[Adapter]:
        """Return a copy of keys and values, on the CPU."""
        return [CrossAttentionAdapter.from_model(model)]

    @property
    def trains_whole(self) -> Collection[str]:
        """Keys and values, which learn from the base's own."""
        return TARGET_MODULES
