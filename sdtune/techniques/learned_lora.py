"""A LoRA as what learns, in the UNet and perhaps in the text encoders."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import asdict

from sdtune.adapters.adapter import Adapter
from sdtune.adapters.lora import (
    LoRAAdapter,
    LoRASettings,
    add_lora,
    lora_parameters,
    without_adapter,
)
from sdtune.adapters.lora.target_modules import target_problems
from sdtune.models import StableDiffusion
from sdtune.techniques.learned import Learned, LearnedGroup

__all__ = ["LearnedLoRA"]


class LearnedLoRA(Learned):
    """Low-rank matrices beside frozen layers (Hu et al. 2021).

    Args:
        settings: How large it is and where it goes.
        text_encoder: Whether the text encoders have one too, at `text_encoder_learning_rate`.
    """

    def __init__(self, settings: LoRASettings, text_encoder: bool = False) -> None:
        self.settings = settings
        self.text_encoder = text_encoder

    def add_to(self, model: StableDiffusion, *, seed: int, clip_skip: int) -> None:
        """Add fresh matrices to the UNet and, if they learn, to the text encoders."""
        add_lora(
            model,
            **asdict(self.settings),
            text_encoder=self.text_encoder,
            clip_skip=clip_skip,
            seed=seed,
        )

    def groups(self, model: StableDiffusion) -> list[LearnedGroup]:
        """Return the UNet's matrices, and the text encoders'."""
        groups = [LearnedGroup("unet", lora_parameters(model.unet))]
        if self.text_encoder:
            matrices = lora_parameters(model.text_encoders)
            groups.append(LearnedGroup("text_encoder", matrices, "text_encoder_learning_rate"))
        return groups

    def switched_off(self, model: StableDiffusion) -> AbstractContextManager[None]:
        """Use the frozen layers alone."""
        return without_adapter(model)

    def adapters(self, model: StableDiffusion) -> list[Adapter]:
        """Return a copy of the matrices, on the CPU."""
        return [LoRAAdapter.from_model(model)]

    @property
    def drops_inputs(self) -> bool:
        """Whether it has dropout."""
        return self.settings.dropout > 0

    @property
    def drops_inputs_of_prompts(self) -> bool:
        """Whether it has dropout in the text encoders."""
        return self.drops_inputs and self.text_encoder

    @property
    def encodes_prompts_every_step(self) -> bool:
        """Whether the text encoders learn."""
        return self.text_encoder

    def check(self, base: str) -> None:
        """Check the settings."""
        self.settings.check()

    def problems(self, base: str) -> list[str]:
        """Tell which modules it names are not in the base."""
        return target_problems(base, self.settings.target_modules, text_encoder=self.text_encoder)
