"""A style as low-rank adapters."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from sdtune.adapters.lora import AdapterType, LoRASettings, TargetModules
from sdtune.techniques.base import DiffusionFineTuningModule
from sdtune.techniques.content_preservation import ContentPreservation
from sdtune.techniques.learned_lora import LearnedLoRA
from sdtune.techniques.method import Method

__all__ = ["LoRAStyleModule"]

_COLOUR = "colour_shift"


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
        adapter_type: `lora`; or `loha` or `lokr`, LyCORIS' products of two (Yeh et al. 2024), which
            A1111 and ComfyUI read, and diffusers does not.
        learning_rate: Rate of the UNet's adapter.
        text_encoder_learning_rate: Rate of the text encoder's adapter; None leaves the text
            encoder frozen, and its outputs are then computed once.
        keep_content_above: Share of the noise schedule, in (0, 1), above which the untuned base's
            own predictions, but for the style's mean colour, are the target, so that the adapter
            changes how things are drawn and not what is drawn: see `ContentPreservation`. 0.85 is
            what was measured; None is off.
        **kwargs: See `DiffusionFineTuningModule`.

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
        adapter_type: AdapterType = "lora",
        learning_rate: float = 1e-4,
        text_encoder_learning_rate: float | None = None,
        keep_content_above: float | None = None,
        **kwargs: Any,
    ) -> None:
        settings = LoRASettings(
            rank, alpha, dropout, target_modules, use_dora, adapter_type=adapter_type
        )
        method = Method(
            learns=[LearnedLoRA(settings, text_encoder=text_encoder_learning_rate is not None)],
            learning_rates={
                "learning_rate": learning_rate,
                "text_encoder_learning_rate": text_encoder_learning_rate,
            },
            content=None if keep_content_above is None else ContentPreservation(keep_content_above),
        )
        super().__init__(method, base=base, **kwargs)

    @property
    def learns_pictures_below(self) -> float:
        """Share of the noise schedule below which a loss tells of its picture; 1 is everywhere."""
        return self.method.content.above if self.method.content else 1.0

    def setup(self, stage: str) -> None:
        """See the data's colour anew; a run that goes on recalls it after this."""
        super().setup(stage)
        if self.method.content and stage == "fit":
            self.method.content.colour.restore(None)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what was seen of the data's colour."""
        super().on_save_checkpoint(checkpoint)
        if self.method.content:
            checkpoint[_COLOUR] = self.method.content.colour.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Recall what was seen of the data's colour."""
        super().on_load_checkpoint(checkpoint)
        if self.method.content is None:
            return
        self.method.content.colour.restore(checkpoint.get(_COLOUR))
        if self.is_fitting and _COLOUR not in checkpoint:
            rank_zero_warn(
                "The checkpoint is of a version in which `model.keep_content_above` kept the "
                "base's colours too. From here on the style's mean colour is learned."
            )
