"""How many processes read pictures, where nobody says it."""

from __future__ import annotations

import os
from collections.abc import Sequence

from sdtune.data.pictures import Picture

__all__ = ["choose_workers"]

_MOST = 8
_LOOKED_AT = 64

# a picture of 256 x 256 is read in 3 ms: less than handing it over from another process gains
_SMALL = 256 * 256


def choose_workers(pictures: Sequence[Picture], processes: int = 1) -> int:
    """Choose the number of processes that read pictures while others train.

    Args:
        pictures: The pictures; the mean size of some of them counts.
        processes: How many train on this machine, which share its cores.

    Returns:
        The cores of each process, 8 at most; 0 if it has only one, or pictures are small.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    mine = (cores or 1) // max(processes, 1)
    some = pictures[:: max(1, len(pictures) // _LOOKED_AT)]
    pixels = sum(width * height for width, height in (picture.size for picture in some))
    if mine < 2 or pixels < _SMALL * max(len(some), 1):
        return 0
    return min(mine, _MOST)
