"""How large a LoRA is, and where in the model it goes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from peft import LoraConfig

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
    """

    rank: int
    alpha: float
    dropout: float
    target_modules: TargetModules | list[str]
    use_dora: bool
    text_encoder_rank: int | None = None
    text_encoder_alpha: float | None = None

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

    def config(self, part: str, targets: Sequence[str]) -> LoraConfig:
        """Say the same to PEFT.

        Args:
            part: `unet`, or one of the text encoders.
            targets: The ends of the names of the modules in it that are tuned.

        Returns:
            PEFT's configuration.
        """
        from peft import LoraConfig

        rank, alpha = self.size_in(part)
        return LoraConfig(
            r=rank,
            lora_alpha=alpha,  # type: ignore[arg-type]  # a float serves as well
            lora_dropout=self.dropout,
            target_modules=list(targets),
            use_dora=self.use_dora,
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
