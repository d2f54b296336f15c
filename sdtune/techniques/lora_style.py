"""A style as low-rank adapters."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sdtune.adapters.adapter_set import AdapterSet
from sdtune.adapters.lora import LoRAAdapter, LoRASettings, TargetModules, add_lora
from sdtune.techniques.base import DiffusionFineTuningModule
from sdtune.techniques.optimization import LRScheduleName, OptimizerName, lora_groups

__all__ = ["LoRAStyleModule"]


class LoRAStyleModule(DiffusionFineTuningModule):
    """Fine-tunes low-rank adapters on captioned pictures (Hu et al. 2021).

    Args:
        base: `nano`, a folder in diffusers' layout, a Hugging Face id or a single file.
        rank: Inner dimension of each pair of matrices.
        alpha: The adapter's update is scaled by `alpha / rank`.
        dropout: Probability of dropping an input of the update while training, in [0, 1).
        target_modules: `attention`, `attention+feed_forward`, `all` (also convolutions), or a list
            of the ends of module names.
        use_dora: Decompose the update into magnitude and direction (Liu et al. 2024).
        learning_rate: Rate of the UNet's adapter.
        text_encoder_learning_rate: Rate of the text encoder's adapter; None leaves the text
            encoder frozen, and its outputs are then computed once.
        optimizer: Name of the optimizer, see `sdtune.techniques.optimization.OptimizerName`.
        weight_decay: Decoupled weight decay.
        lr_schedule: `constant`, `linear` or `cosine`, after the warm-up.
        warmup_steps: Optimizer steps on which the rates rise linearly.
        min_snr_gamma: Gamma of Min-SNR loss weights (Hang et al. 2023; 5 is usual); None is off.
        noise_offset: Share of noise that is constant over a picture, 0 or more.
        clip_skip: Text encoder layer, counted from the end; 1 is the last.
        gradient_checkpointing: Recompute activations in the backward pass: less memory, slower.
        seed: Seed of the adapter's first values, of noise, timesteps and dropout.

    Raises:
        TypeError: If `rank` is no integer.
        ValueError: If arguments are out of their ranges, with a line for each.
    """

    def __init__(
        self,
        base: str = "nano",
        rank: int = 32,
        alpha: float = 16.0,
        dropout: float = 0.0,
        target_modules: TargetModules | list[str] = "attention",
        use_dora: bool = False,
        learning_rate: float = 1e-4,
        text_encoder_learning_rate: float | None = None,
        optimizer: OptimizerName = "adamw",
        weight_decay: float = 1e-2,
        lr_schedule: LRScheduleName = "constant",
        warmup_steps: int = 0,
        min_snr_gamma: float | None = None,
        noise_offset: float = 0.0,
        clip_skip: int = 1,
        gradient_checkpointing: bool = False,
        seed: int = 42,
    ) -> None:
        lora = LoRASettings(rank, alpha, dropout, target_modules, use_dora)
        super().__init__(
            base=base,
            checks=[lora.check],
            learning_rates={
                "learning_rate": learning_rate,
                "text_encoder_learning_rate": text_encoder_learning_rate,
            },
            optimizer=optimizer,
            weight_decay=weight_decay,
            lr_schedule=lr_schedule,
            warmup_steps=warmup_steps,
            min_snr_gamma=min_snr_gamma,
            noise_offset=noise_offset,
            clip_skip=clip_skip,
            gradient_checkpointing=gradient_checkpointing,
            draws_dropout=dropout > 0,
            seed=seed,
        )
        self.save_hyperparameters()
        self.lora = lora
        self.learning_rate = learning_rate
        self.text_encoder_learning_rate = text_encoder_learning_rate

    @property
    def trains_text_encoder(self) -> bool:
        """Whether the text encoder has an adapter of its own."""
        return self.text_encoder_learning_rate is not None

    def add_adapter(self) -> None:
        """Add a fresh LoRA to the UNet and, if it learns, to the text encoder."""
        add_lora(
            self.model,
            **asdict(self.lora),
            text_encoder=self.trains_text_encoder,
            seed=self.seed,
        )

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the UNet's and the text encoder's matrices with their learning rates."""
        return lora_groups(self.model, self.learning_rate, self.text_encoder_learning_rate)

    def adapter(self) -> AdapterSet:
        """Return a copy of the adapter, on the CPU."""
        return AdapterSet(LoRAAdapter.from_model(self.model))
