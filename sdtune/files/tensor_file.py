"""Safetensors files of sdtune's own: whole, the same bytes every time, and known again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from sdtune.files import pickled_tensors
from sdtune.files.atomic_file import replaced_atomically
from sdtune.files.regular_file import NotAFileError, check_file

__all__ = [
    "RESERVED",
    "TensorHeader",
    "check_companion",
    "is_ours",
    "read_header",
    "read_metadata",
    "read_tensors",
    "write",
]

_WRITER = {"writer": "sdtune"}
RESERVED = {"format": "pt"} | _WRITER
"""What every header holds; no metadata may use these keys."""


@dataclass(frozen=True)
class TensorHeader:
    """What a safetensors file says of its contents.

    Attributes:
        shapes: Name of a tensor -> its shape.
        metadata: Strings.
    """

    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)


def write(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors and strings to a safetensors file, atomically.

    Equal contents give equal bytes, which safetensors alone does not promise.

    Args:
        path: The file; its folder is made if it is missing.
        tensors: What to store, on any device.
        metadata: Strings for the header. `format` and `writer` are added.

    Raises:
        FileExistsError: If a file is there that sdtune did not write.
        TypeError: If a value in `metadata` is no string.
        ValueError: If `metadata` uses a key of ours, or a tensor holds a value that is not finite.
    """
    _check_metadata(metadata)
    path = Path(path)
    for name, tensor in tensors.items():
        if not _is_finite(tensor):
            raise ValueError(
                f"Expected finite numbers for {path}, but `{name}` holds some that are not, and is "
                "not written."
            )
    if path.exists() and not is_ours(path):
        raise FileExistsError(
            f"Expected {path} to be free, but a file is there that sdtune did not write: move it "
            "away or choose another folder."
        )
    content = _with_sorted_metadata(save(dict(tensors), {**metadata, **RESERVED}))
    with replaced_atomically(path) as temporary:
        temporary.write_bytes(content)


def read_metadata(path: str | Path) -> dict[str, str]:
    """Read the strings in the header of a safetensors file, without its tensors.

    Args:
        path: The file.

    Returns:
        The header's metadata; empty if it has none.

    Raises:
        FileNotFoundError: If there is no such file.
        NotAFileError: If it is a folder, a pipe, a socket or a device.
        SafetensorError: If it is no safetensors file.
    """
    check_file(path)
    with safe_open(path, framework="pt") as file:
        return file.metadata() or {}


def read_header(path: str | Path) -> TensorHeader:
    """Read the header of a file, without its tensors.

    Args:
        path: A file of any kind, a folder, or a pipe, which is not opened.

    Returns:
        The header; an empty one if this is neither a safetensors file nor a pickle of tensors.

    Raises:
        FileNotFoundError: If there is nothing.
    """
    try:
        check_file(path)
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
            return TensorHeader(shapes, file.metadata() or {})
    except NotAFileError:
        return TensorHeader()
    except SafetensorError:
        return _pickle_header(Path(path))


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a file, all of them finite.

    Args:
        path: A safetensors file, or a pickle, which is read and not run.

    Returns:
        Name -> tensor on the CPU.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, is neither, or holds a value that is not finite.
    """
    try:
        check_file(path)
    except NotAFileError as error:
        raise ValueError(f"Expected {path} to be a file of tensors, but {error}.") from error
    if Path(path).suffix in pickled_tensors.SUFFIXES and not _is_safetensors(path):
        tensors, _ = pickled_tensors.read_pickle(path)
    else:
        try:
            tensors = load_file(path)
        except SafetensorError as error:
            raise ValueError(
                f"Expected {path} to be a safetensors file, but it is damaged or of another kind: "
                f"get it again. ({error})"
            ) from error
    for name, tensor in tensors.items():
        if not _is_finite(tensor):
            raise ValueError(
                f"Expected all numbers in {path} to be finite, but `{name}` holds some that are "
                "not: the training that made it has failed; take an earlier checkpoint."
            )
    return tensors


def _is_finite(tensor: Tensor) -> bool:
    # torch cannot ask numbers of 8 bits
    asked = tensor.float() if tensor.dtype.itemsize == 1 else tensor
    return bool(asked.isfinite().all())


def _is_safetensors(path: str | Path) -> bool:
    try:
        with safe_open(path, framework="pt"):
            return True
    except SafetensorError:
        return False


def _pickle_header(path: Path) -> TensorHeader:
    if path.suffix not in pickled_tensors.SUFFIXES:
        return TensorHeader()
    try:
        tensors, texts = pickled_tensors.read_pickle(path, shapes_only=True)
    except ValueError:
        return TensorHeader()
    return TensorHeader({name: tuple(each.shape) for name, each in tensors.items()}, texts)


def is_ours(path: str | Path) -> bool:
    """Tell whether sdtune wrote a file, so that replacing it destroys nothing of anyone else's.

    Args:
        path: An existing file.

    Returns:
        Whether its header says so.
    """
    try:
        return _WRITER.items() <= read_metadata(path).items()
    except (NotAFileError, SafetensorError):
        return False


def check_companion(path: Path, weights: Path) -> None:
    """Check that a file without a writer's name may be replaced: beside weights, it is theirs.

    Args:
        path: Where a configuration is to be written.
        weights: The file of tensors that it belongs to.

    Raises:
        FileExistsError: If it is there and the weights are not, or are not sdtune's.
    """
    if path.exists() and not (weights.exists() and is_ours(weights)):
        raise FileExistsError(
            f"Expected {path} to be free, but a file is there that sdtune did not write: move it "
            "away or choose another folder."
        )


def _check_metadata(metadata: Mapping[str, str]) -> None:
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise TypeError(f"Expected `metadata[{key!r}]` to be a string, but got {value!r}.")
    if clash := RESERVED.keys() & metadata.keys():
        raise ValueError(
            "Expected `metadata` to leave the file's own keys alone, but got "
            f"{', '.join(f'`{key}`' for key in sorted(clash))}."
        )


def _with_sorted_metadata(content: bytes) -> bytes:
    # a file is the header's length in 8 bytes, the header in JSON padded to 8, and the tensors;
    # the library puts the metadata in an order that changes from call to call
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    encoded = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    encoded += b" " * (-len(encoded) % 8)
    return len(encoded).to_bytes(8, "little") + encoded + content[end:]
