"""What there is to know of the masks of some pictures, where use is made of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from sdtune._wording import counted
from sdtune.data.decoding import PictureError, header_size, read_mask
from sdtune.data.manifest import DECODED_AT_MOST
from sdtune.data.masks import several_masks
from sdtune.data.pictures import Picture
from sdtune.data.problems import OnProblem, Problem
from sdtune.data.scan import Scan

__all__ = ["with_masks"]

# a mask that is made at another scale may be a pixel off
_SHAPES_DIFFER_ABOVE = 0.02


def with_masks(scan: Scan, unmasked_weight: float | None, on_problem: OnProblem) -> Scan:
    """Look at the masks beside pictures, if use is made of them.

    Args:
        scan: The pictures.
        unmasked_weight: Weight of what masks leave out; None makes no use of them.
        on_problem: With "skip" pictures whose masks have problems are left out.

    Returns:
        The scan, with a problem for each mask that does not open or is of another shape than its
        picture and for each picture with two masks, and a note of how many there are, and of those
        that are black everywhere.
    """
    if unmasked_weight is None:
        return scan
    problems = list(_problems(scan.pictures))
    if problems and on_problem == "skip":
        scan = scan.leaving_out(problems)
    else:
        scan = replace(scan, problems=[*scan.problems, *problems])
    count = sum(picture.mask is not None for picture in scan.pictures)
    have = "has" if count == 1 else "have"
    note = (
        f"{count} of {counted(len(scan.pictures), 'picture')} {have} a mask beside; of the others "
        "their transparency is the mask, if they have any."
    )
    return replace(scan, notes=[*scan.notes, *_black_note(scan.pictures), note])


def _problems(pictures: Sequence[Picture]) -> Iterator[Problem]:
    masked = dict.fromkeys(each.path for each in pictures if each.mask is not None)
    for path, masks in several_masks(list(masked)).items():
        names = " and ".join(each.relative_to(path.parent).as_posix() for each in masks)
        what = f"has the masks {names}; keep the one that is meant, and delete the other."
        yield Problem(str(path), what)
    for picture in pictures:
        if picture.mask is None:
            continue
        try:
            width, height = header_size(picture.mask)
        except PictureError as error:
            what = f"does not open: {error.reason}; save it again as PNG, or delete it."
            yield Problem(str(picture.mask), what)
            continue
        own = picture.size[0] / picture.size[1]
        if abs(width / height / own - 1) > _SHAPES_DIFFER_ABOVE:
            yield Problem(
                str(picture.mask),
                f"is {width}x{height} pixels, another shape than its picture's "
                f"{picture.size[0]}x{picture.size[1]}; cut it as the picture is, or delete it.",
            )


def _black_note(pictures: Sequence[Picture]) -> list[str]:
    """Say which masks are black everywhere, in a sentence or none."""
    masks = list(dict.fromkeys(each.mask for each in pictures if each.mask is not None))
    if len(masks) > DECODED_AT_MOST:
        return []
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        found = zip(masks, pool.map(_is_black, masks), strict=True)
        black = [mask for mask, is_black in found if is_black]
    if not black:
        return []
    are = counted(len(black), "mask is", "masks are")
    return [
        f"{are} black everywhere, such as {black[0]}: nothing of such a picture counts more than "
        "`data.unmasked_weight`; white, 255 in 8 bits, is what counts."
    ]


def _is_black(mask: Path) -> bool:
    try:
        return read_mask(mask).getbbox() is None
    except PictureError:
        return False  # a problem, which is told
