"""Addresses of files beside a page."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

__all__ = ["address_from"]


def address_from(page: Path, file: Path) -> str:
    """Give the address of a file as a link of a page has it, whatever folders are called.

    Args:
        page: The page's own path.
        file: The file's.

    Returns:
        Such as `./lr%231/report.html`, relative where that can be.
    """
    try:
        way = Path(os.path.relpath(file, Path(page).parent)).as_posix()
    except ValueError:  # on another drive
        return file.resolve().as_uri()
    # bytes, for a name may be no UTF-8; `./`, for what stands before a colon is a scheme
    return f"./{quote(os.fsencode(way))}"
