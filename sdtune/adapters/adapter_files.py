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
    "drawn_with",
    "drop_adapter",
    "file_sha256",
    "header_of",
    "trained_number",
    "trained_steps",
]

_LARGEST = 64  # of the numbers that are read; a stranger's header may say anything
_NUMBERS = ("clip_skip", "max_prompt_chunks")
_CHUNK = 75  # tokens of a prompt that go into one chunk
_SHARED = ("sdtune.prompt_fields", "sdtune.base_unet_sha256")


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
        header: The header, with sdtune's names or kohya's.
        name: The number's name.
    """
    told = header.get(f"sdtune.{name}") or _told_by_kohya(header, name)
    number = int(told) if told.isdecimal() and len(told) < 10 else 1
    return number if 0 < number <= _LARGEST else 1


def drawn_with(headers: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Say how to draw with what is made of adapters: as with all of them together.

    Args:
        headers: Theirs; none says nothing.

    Returns:
        Strings for a header: the layer of the text encoder and the length of prompts, and the
        fields of prompts and the base where all name the same.
    """
    found = {}
    for name in _NUMBERS:
        number = max((trained_number(each, name) for each in headers), default=1)
        if number > 1:
            found[f"sdtune.{name}"] = str(number)
    for key in _SHARED:
        values = {each.get(key, "") for each in headers}
        if len(values) == 1 and values != {""}:
            [found[key]] = values
    return found


def _told_by_kohya(header: Mapping[str, str], name: str) -> str:
    if name == "clip_skip" and not header.get("ss_base_model_version", "").startswith("sdxl"):
        return header.get("ss_clip_skip", "")  # of SDXL it reads the same layer whatever is said
    length = header.get("ss_max_token_length", "")
    is_length = name == "max_prompt_chunks" and length.isdecimal() and len(length) < 10
    return str(int(length) // _CHUNK) if is_length else ""


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
