"""Find the pictures of a folder, and remember how large they are."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Literal, NamedTuple

from sdtune.data.decoding import IMAGE_SUFFIXES, PictureError, header_size, read_picture

__all__ = [
    "check_picture",
    "find_files",
    "find_pictures",
    "holds_pictures",
    "is_folder",
    "linked_folders",
    "list_files",
    "name_below",
    "one_walk",
    "picture_size",
    "walk_files",
]

log = logging.getLogger(__name__)

_LOOKED_AT = 10_000  # files below a link, which may lead to the whole disk


def find_files(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    """List the files below a folder that end in one of some suffixes.

    Args:
        folder: Where to look, at any depth.
        suffixes: Lower-case suffixes with their dot; upper-case files match too.

    Returns:
        Sorted paths. Hidden files and everything in hidden folders or `__MACOSX` are left out.
    """
    wanted = frozenset(suffixes)
    return [path for path in walk_files(folder) if path.suffix.lower() in wanted]


def list_files(folder: Path) -> list[Path]:
    """List the files below a folder, sorted; see `find_files`."""
    return list(walk_files(folder))


def find_pictures(folder: Path) -> list[Path]:
    """List the pictures below a folder, sorted; see `find_files`."""
    return find_files(folder, IMAGE_SUFFIXES)


def check_picture(path: Path) -> tuple[int, int]:
    """Decode a picture, once per version of the file, to know that all of it can be read.

    Args:
        path: The picture.

    Returns:
        Width and height in pixels, as it is meant to be seen.

    Raises:
        PictureError: If the picture does not open.
    """
    return _decoded_size(*_version(path))


def picture_size(path: Path) -> tuple[int, int]:
    """Measure a picture by its header, once per version of the file.

    Args:
        path: The picture.

    Returns:
        Width and height in pixels, as it is meant to be seen.

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


def name_below(folder: Path) -> Callable[[Path], str]:
    """Make a function that names paths below a folder, with slashes.

    As `path.relative_to(folder).as_posix()` for paths that were found below it, at a tenth of the
    time, which counts where they are a million.

    Args:
        folder: The folder, as it was when they were found.

    Returns:
        Path -> name.
    """
    if str(folder) == ".":
        return Path.as_posix
    start = len(str(folder).rstrip(os.sep)) + 1
    return (
        (lambda path: str(path)[start:])
        if os.sep == "/"
        else (lambda path: str(path)[start:].replace(os.sep, "/"))
    )


@contextmanager
def one_walk() -> Iterator[None]:
    """Let all that asks for the files of one folder meanwhile have those of one walk.

    Yields:
        Nothing; at the end what was found is forgotten.
    """
    token = _walks.set({})
    try:
        yield
    finally:
        _walks.reset(token)


def walk_files(folder: Path) -> Iterator[Path]:
    """Yield files in the order in which their paths are sorted, without sorting all of them."""
    walks = _walks.get()
    yield from _walk(folder, []) if walks is None else _walked(folder, walks).files


def linked_folders(folder: Path) -> list[Path]:
    """List the links to folders below a folder, which are not looked into: they may make circles.

    Args:
        folder: Where to look, at any depth.

    Returns:
        Sorted paths, but for hidden ones and those in hidden folders.
    """
    walks = _walks.get()
    return _walked(folder, {} if walks is None else walks).links


def holds_pictures(folder: Path) -> bool:
    """Tell whether pictures lie below a folder, as far as 10,000 files show.

    Args:
        folder: The folder, or a link to one. Further links are not followed.
    """
    return any(
        path.suffix.lower() in IMAGE_SUFFIXES for path in islice(_walk(folder, []), _LOOKED_AT)
    )


class _Walked(NamedTuple):
    files: list[Path]
    links: list[Path]  # to folders


_walks: ContextVar[dict[Path, _Walked] | None] = ContextVar("_walks", default=None)


def _walked(folder: Path, walks: dict[Path, _Walked]) -> _Walked:
    if folder not in walks:
        links: list[Path] = []
        walks[folder] = _Walked(list(_walk(folder, links)), links)
    return walks[folder]


def _walk(folder: Path, links: list[Path]) -> Iterator[Path]:
    """Yield the files below a folder; links to folders are added to a list instead."""
    try:
        with os.scandir(folder) as entries:
            kinds = {each.name: _kind(each) for each in entries if each.name[0] != "."}
        paths = sorted(folder.iterdir(), key=_name)  # makes them faster than joining does
    except PermissionError as error:
        log.warning("%s cannot be read (%s); what is in it is left out.", folder, error.strerror)
        return
    except OSError:
        return
    for path in paths:
        kind = kinds.get(path.name)
        if kind == "file":
            yield path
        elif kind == "link":
            links.append(path)
        elif kind == "folder" and path.name != "__MACOSX":
            yield from _walk(path, links)


_name = attrgetter("name")


def _kind(entry: os.DirEntry[str]) -> Literal["file", "folder", "link"]:
    """Tell what an entry is; a link to a file is one."""
    if not is_folder(entry):
        return "file"
    return "link" if entry.is_symlink() else "folder"


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Tell whether an entry is a folder, or a link to one; a link to itself is none.

    Args:
        entry: What `os.scandir` found.
    """
    try:
        return entry.is_dir()
    except OSError:
        return False
