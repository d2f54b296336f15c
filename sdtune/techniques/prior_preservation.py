"""What the techniques share that learn a subject beside pictures of its class."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from sdtune._checks import check_all, check_not_negative, check_positive
from sdtune.functional import prior_preservation_loss
from sdtune.techniques.base import DiffusionFineTuningModule

__all__ = ["PriorPreservation", "PriorPreservationModule"]


@dataclass(frozen=True)
class PriorPreservation:
    """What class pictures are for, and how the untuned base draws them.

    Attributes:
        loss_weight: Factor of the class pictures' loss, 0 or more; 0 needs no class pictures.
        inference_steps: Steps of the noise scheduler for class pictures.
        guidance_scale: Strength of classifier-free guidance for class pictures.
    """

    loss_weight: float
    inference_steps: int
    guidance_scale: float

    def check(self) -> None:
        """Check the ranges, by the names that a technique's arguments have.

        Raises:
            ValueError: If values are out of their ranges, with a line for each.
        """
        check_all(
            lambda: check_not_negative("prior_loss_weight", self.loss_weight),
            lambda: check_positive("class_inference_steps", self.inference_steps, of="integer"),
            lambda: check_not_negative("class_guidance_scale", self.guidance_scale),
        )


class PriorPreservationModule(DiffusionFineTuningModule):
    """Base of the techniques with class pictures; a subclass sets `prior`.

    The untuned base draws the class pictures, unless the data has some (Ruiz et al. 2023,
    https://arxiv.org/abs/2208.12242).

    Attributes:
        prior: The weight of the class pictures' loss, and how they are drawn.
    """

    prior: PriorPreservation

    def problems_with(self, data: object) -> list[str]:
        """Tell if there are no class pictures where they are needed."""
        problems = super().problems_with(data)
        if not self.prior.loss_weight or getattr(data, "has_class_pictures", False):
            return problems
        return [
            *problems,
            "Expected `data.class_prompt` or `data.class_dir` to be given, by each of "
            "`data.concepts` if there are several, for `model.prior_loss_weight` is "
            f"{self.prior.loss_weight}; without class pictures, set it to 0.",
        ]

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Tensor]:
        """Predict pictures of subjects and classes in one pass, and weigh their losses.

        Args:
            batch: As in the base class; class pictures in entries that begin with `class_`.
            batch_idx: Not used: what is drawn depends on the samples.

        Returns:
            mean(instance losses) + prior_loss_weight * mean(class losses), and the instance
            losses, as in `step_outputs`.
        """
        if not self.prior.loss_weight:
            return super().training_step(batch, batch_idx)
        count = len(batch["index"])
        losses, timesteps = self.training_losses(_joined(batch))
        instance_losses, class_losses = losses[:count], losses[count:]
        loss = prior_preservation_loss(instance_losses, class_losses, self.prior.loss_weight)
        self.log("train/loss", loss, prog_bar=True, batch_size=count)
        self.log("train/instance_loss", instance_losses.mean(), batch_size=count)
        self.log("train/class_loss", class_losses.mean(), batch_size=count)
        return self.step_outputs(loss, instance_losses, timesteps[:count])

    def on_fit_start(self) -> None:
        """Let the untuned base draw the class pictures, unless they are there; then encode."""
        if self.prior.loss_weight:
            self._make_class_pictures()
        super().on_fit_start()

    def _make_class_pictures(self) -> None:
        def draw(prompts: Sequence[str], seeds: Sequence[int]) -> Tensor:
            return self.generate(
                prompts,
                seeds,
                num_inference_steps=self.prior.inference_steps,
                guidance_scale=self.prior.guidance_scale,
            )

        drawer = {
            "weights": [self.model.fingerprint(p) for p in ("unet", "vae", "text_encoders")],
            "precision": str(self.model.dtype),
            "resolution": self.model.resolution,
            "noise_scheduler": self.model.noise_scheduler.config.prediction_type,
            "num_inference_steps": self.prior.inference_steps,
            "guidance_scale": self.prior.guidance_scale,
            "clip_skip": self.clip_skip,
        }
        data = cast(Any, self.trainer).datamodule
        # a resumed run has learned already
        with self.untuned(), self.trainer.precision_plugin.forward_context():
            data.make_class_pictures(draw, json.dumps(drawer, sort_keys=True))


def _joined(batch: dict[str, Any]) -> dict[str, Any]:
    pixels = "moments" if "moments" in batch else "pixel_values"
    return {
        pixels: torch.cat([batch[pixels], batch[f"class_{pixels}"]]),  # (2B, …)
        "caption": [*batch["caption"], *batch["class_caption"]],
        # below zero: each class sample has noise and a timestep of its own, also where one class
        # picture is shown twice in an epoch
        "index": [*batch["index"], *(-1 - index for index in batch["index"])],
    }
