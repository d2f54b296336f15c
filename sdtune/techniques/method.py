"""A technique in one object: what learns, how fast, and what it learns beside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from sdtune._checks import check_all
from sdtune.models.quantization import check_quantization
from sdtune.techniques.content_preservation import ContentPreservation
from sdtune.techniques.learned import Learned
from sdtune.techniques.prior_preservation import PriorPreservation

__all__ = ["Method"]


@dataclass(frozen=True)
class Method:
    """What makes a technique this one and no other.

    Attributes:
        learns: What learns, in the order of the optimizer's groups.
        learning_rates: Rates by the name of the argument that holds them; None is "not trained".
        prior: Class pictures to learn beside, if any.
        content: The base's predictions at high noise to learn beside, if any.
        checks: What else the technique checks of its own arguments, see `check_all`.
    """

    learns: Sequence[Learned]
    learning_rates: Mapping[str, float | None]
    prior: PriorPreservation | None = None
    content: ContentPreservation | None = None
    checks: Sequence[Callable[[], object]] = ()

    def check(self, base: str) -> None:
        """Check all that can be checked without the weights, but for the rates.

        Args:
            base: What the model will be loaded from; it may be one that does not exist.

        Raises:
            TypeError: If an argument is of another type.
            ValueError: If arguments are out of their ranges, with a line for each.
        """
        check_all(
            *(partial(each.check, base) for each in self.learns),
            *self.checks,
            *(each.check for each in (self.prior, self.content) if each),
        )

    def check_quantization(self, quantization: str | None) -> None:
        """Check that a base can be quantised, and be learned beside.

        Args:
            quantization: As a recipe names it; None is not at all.

        Raises:
            ValueError: If it cannot, or is itself what learns.
        """
        check_quantization(quantization)
        if quantization is not None and any(each.needs_float32 for each in self.learns):
            raise ValueError(
                "Expected `quantization` to be null where the UNet itself learns, as with "
                f"`full_finetune`, but got `{quantization}`: a LoRA learns beside a quantised base."
            )
