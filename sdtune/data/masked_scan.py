"""What there is to know of the masks of some pictures, where use is made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sdtune._wording import counted
from sdtune.data.decoding import PictureError, header_size
from sdtune.data.pictures import Picture
from sdtune.data.problems import OnProblem
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
        The scan, with a line for each mask that does not open or is of another shape than its
        picture, and a note of how many there are.
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
    return replace(scan, notes=[*scan.notes, note])


def _problems(pictures: Sequence[Picture]) -> Iterator[str]:
    for picture in pictures:
        if picture.mask is None:
            continue
        try:
            width, height = header_size(picture.mask)
        except PictureError as error:
            yield f"{str(error).removesuffix('.')}; save it again as PNG, or delete it."
            continue
        own = picture.size[0] / picture.size[1]
        if abs(width / height / own - 1) > _SHAPES_DIFFER_ABOVE:
            yield (
                f"{picture.mask}: is {width}x{height} pixels, another shape than its picture's "
                f"{picture.size[0]}x{picture.size[1]}; cut it as the picture is, or delete it."
            )
