"""Whether two adapters hold the same numbers, and how far apart they are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sdtune.adapters import registry
from sdtune.files import tensor_file
from sdtune.files.whole_weights import say_shapes

__all__ = ["TensorComparison", "compare_adapters"]


@dataclass(frozen=True)
class TensorComparison:
    """What became of comparing two files.

    Attributes:
        before: The first file; of PEFT's layout, a folder.
        now: The other one; None if there is none of its format.
        sha256: Of the first one's tensors: names, types, shapes and values. A header's strings do
            not count.
        is_equal: Whether the other's is the same.
        largest: The largest difference of two values, of tensors of one shape.
        name: The tensor with it; empty if there is none of one shape in both.
        magnitude: The largest value of that tensor in the first file.
        apart: Tensors that only one of both has.
        unlike: Tensors of another shape or type, each named with both.
    """

    before: Path
    now: Path | None
    sha256: str
    is_equal: bool
    largest: float = 0.0
    name: str = ""
    magnitude: float = 0.0
    apart: Sequence[str] = ()
    unlike: Sequence[str] = ()


def compare_adapters(before: Sequence[Path], folder: Path) -> list[TensorComparison]:
    """Compare an adapter's files with those of the same formats in a folder.

    Args:
        before: The files, as `find_adapter_files` finds them.
        folder: What a run has written.

    Returns:
        One for each of the files.

    Raises:
        ValueError: If one cannot be read.
    """
    written = _written(folder)
    return [_compare(each, _counterpart(each, written)) for each in before]


def _written(folder: Path) -> list[Path]:
    places = [folder, *sorted(folder.rglob("*"))] if folder.is_dir() else []
    return [each for each in places if registry.find_format(each) is not None]


def _counterpart(path: Path, written: Sequence[Path]) -> Path | None:
    """Find the file of the same format; of several, as there are for words, by its tensors."""
    form = registry.recognise(path)
    found = [each for each in written if registry.recognise(each) is form]
    if len(found) < 2:
        return next(iter(found), None)
    names = _names(path)
    return next((each for each in found if _names(each) == names), None)


def _names(path: Path) -> set[str]:
    return {
        f"{name} {header.metadata.get('modelspec.trigger_phrase', '')}"
        for file in _files(path)
        for header in [tensor_file.read_header(file)]
        for name in header.shapes
    }


def _files(path: Path) -> list[Path]:
    return sorted(path.rglob("*.safetensors")) if path.is_dir() else [path]


def _tensors(path: Path) -> dict[str, Tensor]:
    """Read all tensors; of a folder's, by the files' names too."""
    return {
        f"{file.relative_to(path).parent}/{name}" if path.is_dir() else name: tensor
        for file in _files(path)
        for name, tensor in tensor_file.read_tensors(file).items()
    }


def _compare(before: Path, now: Path | None) -> TensorComparison:
    old = _tensors(before)
    digest = _digest(old)
    if now is None:
        return TensorComparison(before, None, digest, is_equal=False)
    new = _tensors(now)
    if _digest(new) == digest:
        return TensorComparison(before, now, digest, is_equal=True)
    apart = tuple(sorted(old.keys() ^ new.keys()))
    shared = sorted(old.keys() & new.keys())
    unlike = tuple(filter(None, (_unlike(name, old[name], new[name]) for name in shared)))
    found = [
        (_difference(old[name], new[name]), name)
        for name in shared
        if old[name].shape == new[name].shape
    ]
    largest, name = max(found, default=(0.0, ""))
    magnitude = float(old[name].float().abs().max()) if name and old[name].numel() else 0.0
    return TensorComparison(
        before,
        now,
        digest,
        is_equal=False,
        largest=largest,
        name=name,
        magnitude=magnitude,
        apart=apart,
        unlike=unlike,
    )


def _unlike(name: str, old: Tensor, new: Tensor) -> str:
    if old.shape != new.shape:
        return f"`{name}`, {say_shapes(new.shape, old.shape)}"
    if old.dtype != new.dtype:
        types = (str(each.dtype).removeprefix("torch.") for each in (new, old))
        return f"`{name}`, {' where '.join(types)} is expected"
    return ""


def _difference(old: Tensor, new: Tensor) -> float:
    return float((old.double() - new.double()).abs().max()) if old.numel() else 0.0


def _digest(tensors: Mapping[str, Tensor]) -> str:
    total = hashlib.sha256()
    for part in _parts(tensors):
        total.update(part)
    return total.hexdigest()


def _parts(tensors: Mapping[str, Tensor]) -> Iterator[bytes]:
    for name, tensor in sorted(tensors.items()):
        yield f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode()
        yield tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
