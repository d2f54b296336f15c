"""A subject from a few pictures of it, while the model keeps what it knows of the class."""

from __future__ import annotations

from typing import Any

from sdtune.adapters.lora import AdapterType, LoRASettings, TargetModules
from sdtune.techniques.base import DiffusionFineTuningModule
from sdtune.techniques.learned_lora import LearnedLoRA
from sdtune.techniques.learned_unet import LearnedUNet
from sdtune.techniques.method import Method
from sdtune.techniques.prior_preservation import PriorPreservation

__all__ = ["DreamBoothModule"]


class DreamBoothModule(DiffusionFineTuningModule):
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
        adapter_type: `lora`; or `loha` or `lokr`, LyCORIS' products of two (Yeh et al. 2024), which
            A1111 and ComfyUI read, and diffusers does not.
        full_finetune: Train the whole UNet and no LoRA; the arguments above are then not used.
        prior_loss_weight: Factor of the class pictures' loss, 0 or more; 0 needs no class pictures.
        class_inference_steps: Steps of the noise scheduler for class pictures.
        class_guidance_scale: Strength of classifier-free guidance for class pictures.
        learning_rate: Rate of the UNet's LoRA, or of the UNet.
        text_encoder_learning_rate: Rate of the text encoder's LoRA; None leaves the text encoder
            frozen, and its outputs are then computed once.
        **kwargs: See `DiffusionFineTuningModule`.

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
        adapter_type: AdapterType = "lora",
        full_finetune: bool = False,
        prior_loss_weight: float = 1.0,
        class_inference_steps: int = 25,
        class_guidance_scale: float = 7.5,
        learning_rate: float = 1e-4,
        text_encoder_learning_rate: float | None = None,
        **kwargs: Any,
    ) -> None:
        settings = LoRASettings(
            rank,
            alpha,
            dropout,
            target_modules,
            use_dora,
            text_encoder_rank,
            text_encoder_alpha,
            adapter_type,
        )
        has_text_encoder = text_encoder_learning_rate is not None
        method = Method(
            learns=[LearnedUNet() if full_finetune else LearnedLoRA(settings, has_text_encoder)],
            learning_rates={
                "learning_rate": learning_rate,
                "text_encoder_learning_rate": text_encoder_learning_rate,
            },
            prior=PriorPreservation(prior_loss_weight, class_inference_steps, class_guidance_scale),
            checks=[
                *([settings.check] if full_finetune else []),
                lambda: _check_full(full_finetune, text_encoder_learning_rate),
            ],
        )
        super().__init__(method, base=base, **kwargs)


def _check_full(full_finetune: bool, text_encoder_learning_rate: float | None) -> None:
    if full_finetune and text_encoder_learning_rate is not None:
        raise ValueError(
            "Expected `text_encoder_learning_rate` to be null with `full_finetune`, which trains "
            f"the UNet alone, but got {text_encoder_learning_rate}."
        )
