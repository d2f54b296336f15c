"""Which families of base models there are."""

from __future__ import annotations

from collections.abc import Sequence

from sdtune.models.families.family import Family
from sdtune.models.families.stable_diffusion import StableDiffusionFamily
from sdtune.models.families.stable_diffusion_xl import StableDiffusionXLFamily

__all__ = ["families", "family_of_pipeline", "register_family"]

_FAMILIES: list[Family] = [StableDiffusionFamily(), StableDiffusionXLFamily()]


def families() -> Sequence[Family]:
    """List the families, in the order in which they were registered."""
    return tuple(_FAMILIES)


def register_family(family: Family) -> None:
    """Let bases of one more family be loaded.

    Args:
        family: The family.

    Raises:
        ValueError: If there is one already for its pipeline.
    """
    if family_of_pipeline(family.pipeline_name) is not None:
        raise ValueError(
            f"Expected `pipeline_name` to be new, but {family.pipeline_name} has a family already."
        )
    _FAMILIES.append(family)


def family_of_pipeline(name: object) -> Family | None:
    """Find the family whose bases a pipeline draws with.

    Args:
        name: Name of the pipeline's class, as a model_index.json gives it.

    Returns:
        The family, or None if there is none for it.
    """
    return next((each for each in _FAMILIES if each.pipeline_name == name), None)
