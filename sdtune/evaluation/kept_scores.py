"""What judges have seen of pictures that do not change, kept between runs."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import sdtune
from sdtune._imports import installed_versions
from sdtune.evaluation.circumstances import device_name
from sdtune.files.cache_folder import default_cache_dir
from sdtune.files.kept_tensors import KeptTensors
from sdtune.functional.tensor_bytes import bytes_of
from sdtune.metrics.judges import Judges
from sdtune.metrics.metric import Metric, SampleMetric, SetMetric
from sdtune.run_folder.picture_file import to_bytes

__all__ = ["KeptScores", "digest_of_pictures"]

# part of every name: raise it when something is stored in another way
VERSION = 1

_LIBRARIES = ("transformers", "diffusers", "torchmetrics", "torchvision", "numpy", "pillow")
_ROOMS = ("data", "evaluation", "functional", "metrics", "models")
_LARGEST = 64_000_000  # bytes: of a hundred thousand pictures they are not worth their room


class KeptScores:
    """A cache of tensors that follow from pictures, judges and the code that computes them.

    A run computes the same to the last bit without it: what is kept was computed by the same code,
    the same packages and as many threads, on a machine of the same kind.

    Args:
        judges: The networks. Those that do not say what they are made of, see `Judges.identity`,
            have nothing kept.
        device: Where they work.
        folder: Where it is kept; None is `$SDTUNE_CACHE` or `~/.cache/sdtune`.
    """

    def __init__(
        self,
        judges: Judges | None = None,
        device: torch.device | None = None,
        folder: str | Path | None = None,
    ) -> None:
        self._kept = KeptTensors(folder or default_cache_dir() / "scores")
        identity = None if judges is None else judges.identity
        self._about: dict[str, Any] | None = None
        if identity is not None and device is not None:
            self._about = {"judges": dict(identity), **_circumstances(device)}

    def get(
        self,
        about: Mapping[str, Any],
        compute: Callable[[], dict[str, Tensor]],
        metrics: Iterable[Metric] = (),
    ) -> dict[str, Tensor]:
        """Read tensors, or compute and keep them.

        Args:
            about: What they depend on besides judges, code and machine; anything JSON can hold.
            compute: Gives them on the CPU, by name.
            metrics: Those that are computed: the code of other packages' ones counts, too.

        Returns:
            Name -> tensor.
        """
        if self._about is None:
            return compute()
        code = {each.name: _code_of(each) for each in metrics}
        key = {**self._about, "about": dict(about), "metrics": code}
        found = self._kept.find(key)
        if found is None:
            found = compute()
            if bytes_of(found.values()) <= _LARGEST:
                self._kept.keep(key, found)
        return found


def digest_of_pictures(images: Tensor | None) -> str | None:
    """Hash pictures as files would hold them.

    Args:
        images: (B, 3, H, W) in [0, 1], multiples of 1/255; None is none.

    Returns:
        SHA-256 in hexadecimal; None of none.
    """
    if images is None:
        return None
    levels = to_bytes(images).contiguous()
    return sha256(f"{tuple(levels.shape)}".encode() + levels.numpy().tobytes()).hexdigest()


def _circumstances(device: torch.device) -> dict[str, Any]:
    """Say what else may change the last bits."""
    return {
        "version": VERSION,
        "sdtune": [sdtune.__version__, _own_code()],
        "libraries": {"torch": str(torch.__version__), **installed_versions(*_LIBRARIES)},
        "device": device_name(device),
        "machine": [platform.machine(), torch.backends.cpu.get_cpu_capability()],
        "threads": torch.get_num_threads(),
    }


@cache
def _own_code() -> str:
    """Hash the files that compute scores."""
    root = Path(sdtune.__file__).parent
    total = sha256()
    for room in _ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            total.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return total.hexdigest()


def _code_of(metric: Metric) -> list[str]:
    """Hash the files that a metric's functions stand in, if they are of no room of sdtune's."""
    functions: list[Any] = [type(metric)]
    if isinstance(metric, SampleMetric):
        functions.append(metric.values)
    elif isinstance(metric, SetMetric):
        functions += [metric.vectors, metric.distance]
    names = {str(getattr(each, "__module__", "")) for each in functions}
    files = {getattr(sys.modules.get(name), "__file__", None) for name in names}
    return [sha256(Path(file).read_bytes()).hexdigest() for file in sorted(filter(None, files))]
