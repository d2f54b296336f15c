"""The files of an adapter whatever their format: their hash, their header, and their folder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from hashlib import file_digest, sha256
from pathlib import Path

from sdtune.adapters.pipeline import find_adapter_files
from sdtune.adapters.registry import recognise, written_files
from sdtune.files.atomic_file import replaced_atomically
from sdtune.files.folder_tree import files_below, remove_empty_folders

__all__ = [
    "adapter_sha256",
    "copy_adapter",
    "drop_adapter",
    "file_sha256",
    "header_of",
    "trained_number",
    "trained_steps",
]

_LARGEST = 64  # of the numbers that are read; a stranger's header may say anything


def file_sha256(path: Path) -> str:
    """Hash a file's bytes, in hexadecimal.

    Args:
        path: The file.
    """
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def adapter_sha256(files: Sequence[Path]) -> str:
    """Hash an adapter, in hexadecimal: its file's hash, or that of the hashes of several.

    Args:
        files: Its files, and folders of them, in the order in which they are loaded.
    """
    hashes = [file_sha256(each) for path in files for each in files_below(path)]
    return hashes[0] if len(hashes) == 1 else sha256(" ".join(hashes).encode()).hexdigest()


def header_of(path: Path) -> Mapping[str, str]:
    """Read the header of an adapter's weights.

    Args:
        path: A file or folder, see `find_adapter_files`.

    Returns:
        Its strings; empty if there are none.

    Raises:
        FileNotFoundError: If there is no adapter.
        ValueError: If it is of no known format.
    """
    weights = find_adapter_files(path)[-1]
    return recognise(weights).metadata(weights)


def trained_number(header: Mapping[str, str], name: str) -> int:
    """Read a number of an adapter's training, such as `clip_skip`; 1 where none is written.

    Args:
        header: The header.
        name: The number's name.
    """
    told = header.get(f"sdtune.{name}", "1")
    return int(told) if told.isdecimal() and 0 < int(told) <= _LARGEST else 1


def trained_steps(path: Path) -> int | None:
    """Read from an adapter's header how many steps it was trained.

    Args:
        path: A file or folder, see `find_adapter_files`.

    Returns:
        Optimizer steps; None if there is no adapter, or it does not say.
    """
    try:
        header = header_of(path)
    except (OSError, ValueError):
        return None
    told = header.get("sdtune.steps") or header.get("ss_steps") or ""
    return int(told) if told.isdecimal() else None


def copy_adapter(source: Path, folder: Path) -> None:
    """Copy what sdtune wrote into a folder, in every format.

    Args:
        source: A folder with an adapter and nothing else of sdtune's.
        folder: Where to; made if it is missing.
    """
    for file in written_files(source):
        with replaced_atomically(folder / file.relative_to(source)) as temporary:
            shutil.copyfile(file, temporary)


def drop_adapter(folder: Path) -> None:
    """Delete what sdtune wrote into a folder, and the folder if nothing else is in it.

    Args:
        folder: The folder; it need not exist.
    """
    for file in written_files(folder):
        file.unlink()
    remove_empty_folders(folder)
