"""How fast the device multiplies matrices: what a step's FLOP are held against."""

from __future__ import annotations

import torch

from sdtune.bench.bench_call import Precision
from sdtune.bench.window import now

__all__ = ["matmul_ceiling"]

_TYPES = {"32-true": torch.float32, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
_TRIES = 5


def matmul_ceiling(precision: Precision, side: int | None = None) -> float:
    """Measure large matrix products in the floating type of a precision, as it is set up here.

    Args:
        precision: The Trainer's.
        side: Of the square matrices; by default 8192 on a GPU and 1024 on a CPU.

    Returns:
        FLOP in a second, of the quickest of some tries.
    """
    is_gpu = torch.cuda.is_available()
    side = side or (8192 if is_gpu else 1024)
    repeats = 10 if is_gpu else 1
    device = torch.device("cuda" if is_gpu else "cpu")
    left, right = (torch.randn(side, side, device=device).to(_TYPES[precision]) for _ in range(2))
    left @ right
    quickest = float("inf")
    for _ in range(_TRIES):
        started = now()
        for _ in range(repeats):
            left @ right
        quickest = min(quickest, (now() - started) / repeats)
    return 2.0 * side**3 / quickest
