"""What a technique can learn beside: pictures of the class, so that it stays what it is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from sdtune._checks import check_all, check_not_negative, check_positive
from sdtune.functional import prior_preservation_loss
from sdtune.models import StableDiffusion
from sdtune.models.identity import drawing_identity

__all__ = ["PriorPreservation"]

_TENSORS = ("moments", "pixel_values", "loss_weights")  # (B, …)


class _Draws(Protocol):
    """A technique, as far as its base draws."""

    model: StableDiffusion
    clip_skip: int

    def generate(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        *,
        num_inference_steps: int,
        guidance_scale: float,
    ) -> Tensor: ...


@dataclass(frozen=True)
class PriorPreservation:
    """Learns pictures of the class beside those of the subject (Ruiz et al. 2023).

    The untuned base draws the class pictures, unless the data has some
    (https://arxiv.org/abs/2208.12242).

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

    def problems_with(self, data: object) -> list[str]:
        """Tell if there are no class pictures where they are needed.

        Args:
            data: A data module, set up or not.

        Returns:
            One sentence, or none.
        """
        if not self.loss_weight or getattr(data, "has_class_pictures", False):
            return []
        return [
            "Expected `data.class_prompt` or `data.class_dir` to be given, by each of "
            "`data.concepts` if there are several, for `model.prior_loss_weight` is "
            f"{self.loss_weight}; without class pictures, set it to 0.",
        ]

    def joined(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Put the class samples of a batch behind its instance samples.

        Args:
            batch: B instance samples; class samples in entries that begin with `class_`.

        Returns:
            2B samples: pixels or moments, captions, indices and what is told of the pictures.
        """
        joint = {
            name: _behind(batch[name], batch[f"class_{name}"])
            for name in batch
            if f"class_{name}" in batch
        }
        # below zero: each class sample has noise and a timestep of its own, also where one class
        # picture is shown twice in an epoch
        joint["index"] = [*batch["index"], *(-1 - index for index in batch["index"])]
        return joint

    def loss(self, instance_losses: Tensor, class_losses: Tensor) -> Tensor:
        """Weigh the two against each other: mean(instance) + loss_weight * mean(class)."""
        return prior_preservation_loss(instance_losses, class_losses, self.loss_weight)

    def make_class_pictures(self, technique: _Draws, data: Any) -> None:
        """Let the base draw the class pictures that the data lacks.

        Args:
            technique: Switched off, in the Trainer's precision.
            data: A data module with `make_class_pictures`.
        """

        def draw(prompts: Sequence[str], seeds: Sequence[int]) -> Tensor:
            return technique.generate(
                prompts,
                seeds,
                num_inference_steps=self.inference_steps,
                guidance_scale=self.guidance_scale,
            )

        model = technique.model
        drawer = {
            **drawing_identity(model),
            "num_inference_steps": self.inference_steps,
            "guidance_scale": self.guidance_scale,
            "clip_skip": technique.clip_skip,
        }
        data.make_class_pictures(draw, json.dumps(drawer, sort_keys=True))


def _behind(instances: Any, classes: Any) -> Any:
    if isinstance(instances, Tensor):
        return torch.cat([instances, classes])  # (2B, …)
    return [*instances, *classes]
