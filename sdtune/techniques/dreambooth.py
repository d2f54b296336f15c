"""A subject from a few pictures of it, while the model keeps what it knows of the class."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from typing import Any

import torch

from sdtune.adapters.adapter_set import AdapterSet
from sdtune.adapters.lora import LoRAAdapter, LoRASettings, TargetModules, add_lora
from sdtune.adapters.whole_unet import TunedUNet
from sdtune.models import load
from sdtune.techniques.optimization import LRScheduleName, OptimizerName, lora_groups
from sdtune.techniques.prior_preservation import PriorPreservation, PriorPreservationModule

__all__ = ["DreamBoothModule"]


class DreamBoothModule(PriorPreservationModule):
    """Binds a subject to an identifier, beside pictures of its class (Ruiz et al. 2023).

    Every step sees pictures of the subject ("a photo of erica cat") and as many of its class
    ("a photo of a cat"), which the untuned base has drawn, in one pass through the UNet. The
    class pictures' loss, times `prior_loss_weight`, keeps the model from forgetting what else the
    class looks like (https://arxiv.org/abs/2208.12242). Data: `SubjectDataModule`.

    What learns is a LoRA in the UNet and, with a rate of its own, in the text encoder; or, with
    `full_finetune`, the whole UNet. For Stable Diffusion 1 at 512 px and batch 1, the LoRA takes
    about 8 GB of GPU memory with `gradient_checkpointing` and 16 GB without. The whole UNet takes
    13.8 GB for weights, gradients and `adamw`'s moments (8.6 GB with `adamw8bit`), before any
    activation: 16 GB with `adamw8bit` and `gradient_checkpointing`, 28 GB with neither. Its
    checkpoint is 10.3 GB, its export 3.4 GB, and writing either takes as much host memory again.

    Args:
        base: `nano`, a folder in diffusers' layout, a Hugging Face id or a single file.
        rank: Inner dimension of each pair of matrices in the UNet.
        alpha: The UNet's update is scaled by `alpha / rank`.
        text_encoder_rank: Inner dimension in the text encoder; None for `rank`.
        text_encoder_alpha: Scale of the text encoder's update, likewise; None for `alpha`.
        dropout: Probability of dropping an input of the update while training, in [0, 1).
        target_modules: `attention`, `attention+feed_forward`, `all` (also convolutions), or a list
            of the ends of module names: `[to_q, to_v, q_proj, v_proj]` in PEFT's guide.
        use_dora: Decompose the update into magnitude and direction (Liu et al. 2024).
        full_finetune: Train the whole UNet and no LoRA; the arguments above are then not used.
        prior_loss_weight: Factor of the class pictures' loss, 0 or more; 0 needs no class pictures.
        class_inference_steps: Steps of the noise scheduler for class pictures.
        class_guidance_scale: Strength of classifier-free guidance for class pictures.
        learning_rate: Rate of the UNet's LoRA, or of the UNet.
        text_encoder_learning_rate: Rate of the text encoder's LoRA; None leaves the text encoder
            frozen, and its outputs are then computed once.
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
        TypeError: If a rank is no integer.
        ValueError: If arguments are out of their ranges, with a line for each.
    """

    def __init__(
        self,
        base: str = "nano",
        rank: int = 16,
        alpha: float = 27.0,
        text_encoder_rank: int | None = None,
        text_encoder_alpha: float | None = None,
        dropout: float = 0.0,
        target_modules: TargetModules | list[str] = "attention",
        use_dora: bool = False,
        full_finetune: bool = False,
        prior_loss_weight: float = 1.0,
        class_inference_steps: int = 25,
        class_guidance_scale: float = 7.5,
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
        lora = LoRASettings(
            rank, alpha, dropout, target_modules, use_dora, text_encoder_rank, text_encoder_alpha
        )
        prior = PriorPreservation(prior_loss_weight, class_inference_steps, class_guidance_scale)
        super().__init__(
            base=base,
            checks=[
                lora.check,
                lambda: _check_full(full_finetune, text_encoder_learning_rate),
                prior.check,
            ],
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
            draws_dropout=dropout > 0 and not full_finetune,
            seed=seed,
        )
        self.save_hyperparameters()
        self.lora = lora
        self.full_finetune = full_finetune
        self.prior = prior
        self.learning_rate = learning_rate
        self.text_encoder_learning_rate = text_encoder_learning_rate

    @property
    def trains_text_encoder(self) -> bool:
        """Whether the text encoder has an adapter of its own."""
        return self.text_encoder_learning_rate is not None

    def add_adapter(self) -> None:
        """Add a fresh LoRA; or let the whole UNet learn."""
        if self.full_finetune:
            self.model.fingerprint("unet")  # the base's, which no longer shows once it has learned
            self.model.unet.requires_grad_(True)
            return
        add_lora(
            self.model,
            **asdict(self.lora),
            text_encoder=self.trains_text_encoder,
            seed=self.seed,
        )

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the UNet's and the text encoder's parameters with their learning rates."""
        if self.full_finetune:
            parameters = list(self.model.unet.parameters())
            return [{"name": "unet", "params": parameters, "lr": self.learning_rate}]
        return lora_groups(self.model, self.learning_rate, self.text_encoder_learning_rate)

    def adapter(self) -> AdapterSet:
        """Return a copy of the LoRA or of the UNet, on the CPU."""
        make = TunedUNet if self.full_finetune else LoRAAdapter
        return AdapterSet(make.from_model(self.model))

    def load_base(self, dtype: torch.dtype = torch.float32) -> None:
        """Load the base and add what learns; a UNet that learns as a whole stays float32."""
        super().load_base(torch.float32 if self.full_finetune else dtype)

    def untuned(self) -> AbstractContextManager[None]:
        """Switch off what has been learned, for a while: inside, the model is its own base."""
        return self._with_base_unet() if self.full_finetune else super().untuned()

    @contextmanager
    def _with_base_unet(self) -> Iterator[None]:
        """Load the base's UNet anew, to keep no second one in memory while training."""
        tuned = self.model.unet
        self.model.unet = load(self.base).unet.to(tuned.device, tuned.dtype)
        try:
            yield
        finally:
            self.model.unet = tuned


def _check_full(full_finetune: bool, text_encoder_learning_rate: float | None) -> None:
    if full_finetune and text_encoder_learning_rate is not None:
        raise ValueError(
            "Expected `text_encoder_learning_rate` to be null with `full_finetune`, which trains "
            f"the UNet alone, but got {text_encoder_learning_rate}."
        )
