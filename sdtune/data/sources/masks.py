"""Tell masks that lie beside pictures from pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sdtune._wording import counted

__all__ = ["masks_note", "masks_of"]

_ENDINGS = ("_mask", "-masklabel")
_FOLDERS = frozenset({"mask", "masks"})


def masks_of(paths: Sequence[Path]) -> dict[Path, Path]:
    """Find the pictures that are masks of others.

    The mask of `cat.png` is `cat_mask.png`, `cat-masklabel.png` (OneTrainer's name) or
    `mask/cat.png` beside it, of any suffix. What has such a name and no picture that it belongs
    to is a picture.

    Args:
        paths: Pictures.

    Returns:
        Picture -> its mask.
    """
    named = [(path, stems) for path in paths if (stems := _stems_that_it_may_belong_to(path))]
    by_stem = {path.with_suffix(""): path for path in paths} if named else {}
    masks: dict[Path, Path] = {}
    for path, stems in named:
        for stem in stems:
            picture = by_stem.get(stem)
            if picture is not None and picture != path:
                masks.setdefault(picture, path)
    # a mask of a mask is none: `a_mask_mask.png` belongs to nothing
    return {picture: mask for picture, mask in masks.items() if picture not in masks.values()}


def masks_note(count: int) -> list[str]:
    """Say how many masks were found, in a sentence or none."""
    if not count:
        return []
    one, several = "mask lies beside a picture; it counts", "masks lie beside pictures; they count"
    lie = counted(count, one, several)
    return [f"{lie} where `data.unmasked_weight` is given."]


def _stems_that_it_may_belong_to(path: Path) -> list[Path]:
    name = path.stem
    stems = [
        path.with_name(name.removesuffix(ending))
        for ending in _ENDINGS
        if name.endswith(ending) and name != ending
    ]
    if path.parent.name.lower() in _FOLDERS:
        stems.append(path.parent.parent / path.stem)
    return stems
