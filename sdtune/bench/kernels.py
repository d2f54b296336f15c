"""What a GPU does in a step: kernels, copies, waits, and how long it is busy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import Trainer

from sdtune.bench.window import Window, wait_for_device

__all__ = ["KernelMeter", "Kernels", "busy_time"]

_NO_WORK = ("gpu_", "ProfilerStep", "Optimizer.", "## ", "aten::")  # the profiler's own spans
_WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")


@dataclass(frozen=True)
class Kernels:
    """What a GPU did, for each step.

    Attributes:
        kernels: How many.
        copies_to_gpu: From the host.
        copies_to_host: To it.
        waits: Of the host for the GPU.
        busy_seconds: In which the GPU did anything.
    """

    kernels: float
    copies_to_gpu: float
    copies_to_host: float
    waits: float
    busy_seconds: float


class KernelMeter(Window):
    """Profiles some steps on a GPU; on a CPU it does nothing.

    Attributes:
        found: What was found; None on a CPU.
    """

    found: Kernels | None = None

    def begin(self, trainer: Trainer, module: Any) -> None:
        """Start the profiler."""
        if torch.cuda.is_available():
            wait_for_device()
            kinds = torch.profiler.ProfilerActivity
            self._profiler = torch.profiler.profile(activities=[kinds.CPU, kinds.CUDA])
            self._profiler.__enter__()

    def end(self, trainer: Trainer, module: Any) -> None:
        """Stop it, and count."""
        if torch.cuda.is_available():
            wait_for_device()
            self._profiler.__exit__(None, None, None)
            self.found = _read(self._profiler, self.steps)


def busy_time(spans: Iterable[tuple[float, float]]) -> float:
    """Measure the time that spans cover together, where they overlap once.

    Args:
        spans: Beginning and end of each, in any order.
    """
    busy, end = 0.0, float("-inf")
    for start, stop in sorted(spans):
        busy += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return busy


def _read(profiler: Any, steps: int) -> Kernels:
    spans, kernels, to_gpu, to_host, waits = [], 0, 0, 0, 0
    # the raw events: to build torch's own tree of them takes many seconds
    for event in profiler.profiler.kineto_results.events():
        name = event.name()
        if "cuda" not in str(event.device_type()).lower():
            waits += name in _WAITS
        elif not name.startswith(_NO_WORK):
            spans.append((event.start_ns(), event.end_ns()))
            to_gpu += "HtoD" in name
            to_host += "DtoH" in name
            kernels += "Memcpy" not in name and "Memset" not in name
    return Kernels(
        kernels=kernels / steps,
        copies_to_gpu=to_gpu / steps,
        copies_to_host=to_host / steps,
        waits=max(0, waits - 1) / steps,  # one is the meter's own, at the end
        busy_seconds=busy_time(spans) / 1e9 / steps,
    )
