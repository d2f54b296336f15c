"""Tell masks that lie beside pictures from pictures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from sdtune._wording import counted
from sdtune.data.decoding import IMAGE_SUFFIXES
from sdtune.data.same_name import ByName

__all__ = ["masks_note", "masks_of", "several_masks"]

_ENDINGS = ("_mask", "-masklabel")
_FOLDERS = frozenset({"mask", "masks"})


def masks_of(paths: Sequence[Path]) -> dict[Path, Path]:
    """Find the pictures that are masks of others.

    The mask of `cat.png` is `cat_mask.png`, `cat-masklabel.png` (OneTrainer's name), `mask/cat.png`
    or `mask/cat_mask.png` beside it, of any suffix. What has such a name and no picture that it
    belongs to is a picture. Pictures of one name, `cat.png` and `cat.jpg`, have one mask.

    Args:
        paths: Pictures.

    Returns:
        Picture -> its mask. A further mask of a picture stands there for itself, so that the values
        are all that are not trained on.
    """
    found = _all_masks(paths)
    masks = {picture: several[0] for picture, several in found.items()}
    further = {mask for several in found.values() for mask in several[1:]}
    return masks | {mask: mask for mask in sorted(further.difference(masks.values()))}


def several_masks(pictures: Sequence[Path]) -> dict[Path, list[Path]]:
    """Find the pictures beside which more than one mask lies.

    Args:
        pictures: Files with masks beside them.

    Returns:
        Picture -> its masks, sorted.
    """
    paths: list[Path] = []
    for folder in dict.fromkeys(each.parent for each in pictures):
        paths += _pictures_in(folder)
        below = (each for each in folder.iterdir() if each.name.lower() in _FOLDERS)
        paths += [path for each in below if each.is_dir() for path in _pictures_in(each)]
    found = _all_masks(sorted(paths))
    return {each: found[each] for each in pictures if len(found.get(each, ())) > 1}


def masks_note(count: int) -> list[str]:
    """Say how many masks were found, in a sentence or none."""
    if not count:
        return []
    one, several = "mask lies beside a picture; it counts", "masks lie beside pictures; they count"
    lie = counted(count, one, several)
    return [f"{lie} where `data.unmasked_weight` is given."]


def _all_masks(paths: Sequence[Path]) -> dict[Path, list[Path]]:
    named = [(path, stems) for path in paths if (stems := _stems_that_it_may_belong_to(path))]
    if not named:
        return {}
    by_stem = ByName((path.with_suffix(""), path) for path in paths)
    belongs = {
        path: [each for stem in stems for each in by_stem.get(stem) if each != path]
        for path, stems in named
    }
    masks: dict[Path, list[Path]] = defaultdict(list)
    for path, pictures in belongs.items():
        for picture in dict.fromkeys(pictures):
            # a mask of a mask is none: `a_mask_mask.png` belongs to nothing
            if not belongs.get(picture):
                masks[picture].append(path)
    return masks


def _stems_that_it_may_belong_to(path: Path) -> list[Path]:
    name = path.stem
    names = [
        name[: -len(ending)]
        for ending in _ENDINGS
        if name.lower().endswith(ending) and len(name) > len(ending)
    ]
    stems = [path.with_name(each) for each in names]
    if path.parent.name.lower() in _FOLDERS:
        stems += [path.parent.parent / each for each in (name, *names)]
    return stems


def _pictures_in(folder: Path) -> list[Path]:
    return [
        each
        for each in folder.iterdir()
        if each.suffix.lower() in IMAGE_SUFFIXES and each.name[0] != "."
    ]
