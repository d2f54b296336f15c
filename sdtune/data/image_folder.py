"""Find the pictures of a folder, and remember how large they are."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from sdtune.data.decoding import IMAGE_SUFFIXES, PictureError, header_size, read_picture

__all__ = ["check_picture", "find_files", "find_pictures", "picture_size"]


def find_files(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    """List the files below a folder that end in one of some suffixes.

    Args:
        folder: Where to look, at any depth.
        suffixes: Lower-case suffixes with their dot; upper-case files match too.

    Returns:
        Sorted paths. Hidden files and everything in hidden folders or `__MACOSX` are left out.
    """
    wanted = frozenset(suffixes)
    return [path for path in list_files(folder) if path.suffix.lower() in wanted]


def list_files(folder: Path) -> list[Path]:
    """List the files below a folder, sorted; see `find_files`."""
    return sorted(_walk(folder))


def find_pictures(folder: Path) -> list[Path]:
    """List the pictures below a folder, sorted; see `find_files`."""
    return find_files(folder, IMAGE_SUFFIXES)


def check_picture(path: Path) -> tuple[int, int]:
    """Decode a picture, once per version of the file, to know that all of it can be read.

    Args:
        path: The picture.

    Returns:
        Width and height in pixels, after EXIF rotation.

    Raises:
        PictureError: If the picture does not open.
    """
    return _decoded_size(*_version(path))


def picture_size(path: Path) -> tuple[int, int]:
    """Measure a picture by its header, once per version of the file.

    Args:
        path: The picture.

    Returns:
        Width and height in pixels, after EXIF rotation.

    Raises:
        PictureError: If the header cannot be read.
    """
    return _header_size(*_version(path))


def _version(path: Path) -> tuple[Path, int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise PictureError(path, "there is no such file") from error
    return path.absolute(), status.st_mtime_ns, status.st_size


@cache
def _decoded_size(path: Path, _modified: int, _bytes: int) -> tuple[int, int]:
    return read_picture(path).size


@cache
def _header_size(path: Path, _modified: int, _bytes: int) -> tuple[int, int]:
    return header_size(path)


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name[0] != "." and name != "__MACOSX"]
        yield from (Path(parent, name) for name in names if name[0] != ".")
