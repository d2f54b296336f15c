"""How large a LoRA is, and where in the model it goes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from sdtune.adapters.lora.updates import AdapterType

if TYPE_CHECKING:
    from peft import PeftConfig

__all__ = ["LoRASettings", "TargetModules"]

TargetModules = Literal["attention", "attention+feed_forward", "all"]


@dataclass(frozen=True)
class LoRASettings:
    """What `add_lora` is told of a LoRA, so that a mistake can be found before a model is loaded.

    Attributes:
        rank: Inner dimension of each pair of matrices.
        alpha: The update is scaled by `alpha / rank`.
        dropout: Probability in [0, 1) of dropping an input of the update while training.
        target_modules: A preset, or the ends of module names; see `add_lora`.
        use_dora: Decompose into magnitude and direction.
        text_encoder_rank: As `rank`, in the text encoders; None for the same.
        text_encoder_alpha: As `alpha`, likewise.
        adapter_type: `lora`; or `loha` or `lokr`, LyCORIS' products by elements or by Kronecker.
    """

    rank: int
    alpha: float
    dropout: float
    target_modules: TargetModules | list[str]
    use_dora: bool
    text_encoder_rank: int | None = None
    text_encoder_alpha: float | None = None
    adapter_type: AdapterType = "lora"

    def size_in(self, part: str) -> tuple[int, float]:
        """Give rank and alpha in a part of the model.

        Args:
            part: `unet`, or one of the text encoders.

        Returns:
            Rank and alpha.
        """
        if part == "unet":
            return self.rank, self.alpha
        rank, alpha = self.text_encoder_rank, self.text_encoder_alpha
        return self.rank if rank is None else rank, self.alpha if alpha is None else alpha

    def config(self, part: str, targets: Sequence[str]) -> PeftConfig:
        """Say the same to PEFT.

        Args:
            part: `unet`, or one of the text encoders.
            targets: The ends of the names of the modules in it that are tuned.

        Returns:
            PEFT's configuration.
        """
        from peft import LoHaConfig, LoKrConfig, LoraConfig

        rank, alpha = self.size_in(part)
        shared: dict[str, Any] = {"r": rank, "target_modules": list(targets)}
        if self.adapter_type == "loha":
            return LoHaConfig(alpha=alpha, **shared)  # type: ignore[arg-type]  # a float serves too
        if self.adapter_type == "lokr":
            return LoKrConfig(alpha=alpha, **shared)  # type: ignore[arg-type]
        return LoraConfig(
            lora_alpha=alpha,  # type: ignore[arg-type]
            lora_dropout=self.dropout,
            use_dora=self.use_dora,
            **shared,
        )

    def check(self) -> None:
        """Check all that can be checked without a model.

        Raises:
            TypeError: If a rank is no integer.
            ValueError: If a value is out of its range.
        """
        _check_rank_and_alpha("rank", self.rank, "alpha", self.alpha)
        rank, alpha = self.size_in("text_encoder")
        _check_rank_and_alpha("text_encoder_rank", rank, "text_encoder_alpha", alpha)
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"Expected `dropout` to be in [0, 1), but got {self.dropout}.")
        _check_target_modules(self.target_modules)
        _check_adapter_type(self)


def _check_target_modules(target_modules: TargetModules | list[str]) -> None:
    presets = get_args(TargetModules)
    if isinstance(target_modules, str):
        if target_modules not in presets:
            raise ValueError(
                "Expected `target_modules` to be a list of module names or one of "
                f"{', '.join(f'`{preset}`' for preset in presets)}, but got `{target_modules}`."
            )
    elif not target_modules or not all(isinstance(n, str) and n for n in target_modules):
        raise ValueError(
            "Expected `target_modules` to be a non-empty list of module names, but got "
            f"{target_modules!r}."
        )


def _check_rank_and_alpha(rank_name: str, rank: int, alpha_name: str, alpha: float) -> None:
    if isinstance(rank, bool) or not isinstance(rank, int):
        raise TypeError(f"Expected `{rank_name}` to be a positive integer, but got {rank!r}.")
    if rank < 1:
        raise ValueError(f"Expected `{rank_name}` to be a positive integer, but got {rank}.")
    if not (math.isfinite(alpha) and alpha > 0):
        raise ValueError(f"Expected `{alpha_name}` to be a positive number, but got {alpha}.")


def _check_adapter_type(settings: LoRASettings) -> None:
    found = settings.adapter_type
    if found not in get_args(AdapterType):
        allowed = ", ".join(f"`{each}`" for each in get_args(AdapterType))
        raise ValueError(f"Expected `adapter_type` to be one of {allowed}, but got `{found}`.")
    if found != "lora" and settings.use_dora:
        raise ValueError(
            f"Expected `use_dora` with `adapter_type` `lora` alone, but got `{found}`."
        )
    if found != "lora" and settings.dropout:
        raise ValueError(
            f"Expected `dropout` to be 0 with `adapter_type` `{found}`, which has none, but got "
            f"{settings.dropout}."
        )
