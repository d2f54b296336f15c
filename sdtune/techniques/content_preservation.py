"""What a style can learn beside: the base's own predictions where its content is decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from sdtune.functional import copied_to, target_slope
from sdtune.models import Conditioning, StableDiffusion
from sdtune.techniques.colour_shift import ColourShift

__all__ = ["ContentPreservation"]


class _Learns(Protocol):
    """A technique, as far as its base predicts."""

    model: StableDiffusion

    @property
    def encodes_prompts_every_step(self) -> bool: ...

    def encode(self, captions: Sequence[str]) -> Conditioning: ...

    def untuned(self) -> AbstractContextManager[None]: ...


@dataclass(frozen=True)
class ContentPreservation:
    """Learns to change nothing but colours at high noise, where a picture's content is decided.

    Above a noise level the target is what the untuned base predicts, and not the noise that was
    added: a file of plain weights then keeps the base's objects, and takes on the style below the
    level, where it is decided how they are drawn. It is a distillation of the base (Hinton et al.
    2015, https://arxiv.org/abs/1503.02531) at some timesteps, in place of the prior's pictures
    (Ruiz et al. 2023, https://arxiv.org/abs/2208.12242). How light a picture is, and of which tint,
    is decided at high noise too, and belongs to a style: the base's predictions are moved by what
    the data's mean colour differs from theirs, see `ColourShift`. That holds for high noise alone,
    from some 80 % of the schedule on. Of `noise_offset` the base knows nothing, so that it works
    below the level.

    Attributes:
        above: Share of the noise schedule above which the base's prediction is the target, in
            (0, 1): 0.7 is timesteps 700 to 999 of 1000.
        colour: What was seen so far of the data's colour beside the base's.
    """

    above: float
    colour: ColourShift = field(default_factory=ColourShift, compare=False)

    def check(self) -> None:
        """Check the range, by the name that a technique's argument has.

        Raises:
            ValueError: If it is out of its range.
        """
        if isinstance(self.above, bool) or not 0.0 < self.above < 1.0:
            raise ValueError(
                "Expected `keep_content_above` to be a share of the noise schedule between 0 and "
                f"1, or null, but got {self.above}."
            )

    def rows(self, timesteps: Tensor, num_train_timesteps: int) -> list[int]:
        """Tell which samples have the base's prediction as their target.

        Args:
            timesteps: (B,) int64, on the CPU, so that nothing waits for a device.
            num_train_timesteps: Length of the noise schedule.

        Returns:
            Their places in the batch.
        """
        first = self.above * num_train_timesteps
        return [row for row, step in enumerate(timesteps.tolist()) if step >= first]

    def target(
        self,
        technique: _Learns,
        batch: Mapping[str, Any],
        drawn: Tensor,
        noisy_latents: Tensor,
        timesteps: Tensor,
        conditioning: Conditioning,
        target: Tensor,
        places: Tensor | None,
    ) -> Tensor:
        """Put the base's predictions in the place of the target of the samples above the level.

        Args:
            technique: What learns, switched on.
            batch: B samples, as in its `training_step`.
            drawn: (B,) int64, the timesteps on the CPU.
            noisy_latents: (B, C, h, w).
            timesteps: (B,) int64, those where the base is.
            conditioning: Of B rows, as the technique encodes the captions.
            target: (B, C, h, w), what is learned below the level.
            places: (B, 1, h, w), how much each place counts, or None if all count alike.

        Returns:
            (B, C, h, w), without a gradient. The base computes only the samples above the level.
        """
        model = technique.model
        above = self.rows(drawn, model.num_train_timesteps)
        if not above and not self.colour.is_shared:
            return target
        rows = copied_to(torch.tensor(above, dtype=torch.int64), target.device)
        timesteps, known = timesteps[rows], target[rows]
        base = known
        if above:
            captions: Sequence[str] = batch["caption"]
            base = self._base(technique, captions, noisy_latents, timesteps, conditioning, rows)
        slopes = target_slope(timesteps, model.alphas_cumprod, model.prediction_type)
        weights = batch.get("sample_weights")
        if weights is not None:  # one that stands in is another process's
            counts = torch.tensor([float(weights[row] > 0) for row in above])
            slopes = slopes * copied_to(counts, slopes.device)
        shift = self.colour.see(known - base, slopes, None if places is None else places[rows])
        return target.index_copy(0, rows, (base + shift).to(target.dtype))

    @torch.no_grad()
    def _base(
        self,
        technique: _Learns,
        captions: Sequence[str],
        noisy_latents: Tensor,
        timesteps: Tensor,
        conditioning: Conditioning,
        rows: Tensor,
    ) -> Tensor:
        """Predict some rows by the untuned base."""
        model = technique.model
        with technique.untuned(), model.passes.of_base():
            if technique.encodes_prompts_every_step:  # by the base's text encoder too
                encoded = technique.encode(captions)
                conditioning = Conditioning(
                    encoded.encoder_hidden_states,
                    conditioning.added_cond_kwargs | encoded.added_cond_kwargs,
                )
            prediction: Tensor = model(noisy_latents[rows], timesteps, conditioning[rows])
        return prediction.to(noisy_latents.dtype)
