"""Recipes and picture sets that come with sdtune: beside it in a checkout, inside it elsewhere."""

from __future__ import annotations

from pathlib import Path

__all__ = ["DATASETS", "RECIPES", "shipped_datasets", "shipped_folder"]

RECIPES = "recipes"
DATASETS = "datasets"

_PACKAGE = Path(__file__).resolve().parents[1]
_INSIDE = "shipped"  # where setup.py puts them
_SIGNS = {RECIPES: "style_lora.yaml", DATASETS: "style_openmoji"}


def shipped_folder(name: str) -> Path | None:
    """Find one of the folders that come with sdtune.

    Args:
        name: `recipes` or `datasets`.

    Returns:
        The folder; None if this installation has none.
    """
    for root in (_PACKAGE / _INSIDE, _PACKAGE.parent):
        if (root / name / _SIGNS[name]).exists():
            return root / name
    return None


def shipped_datasets(location: str) -> str:
    """Give the place of a picture set that comes with sdtune, if it is not where it is named.

    Recipes name these as they lie in a checkout, `datasets/style_openmoji`.

    Args:
        location: Where pictures are said to be.

    Returns:
        The folder that comes with sdtune, if nothing is at the location and it names one such;
        else the location.
    """
    parts = Path(location).parts
    if len(parts) != 2 or parts[0] != DATASETS or Path(location).exists():
        return location
    shipped = shipped_folder(DATASETS)
    if shipped is None or not (shipped / parts[1]).is_dir() or parts[1] == "..":
        return location
    return str(shipped / parts[1])
