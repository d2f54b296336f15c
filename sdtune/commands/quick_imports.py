"""Imports of the large libraries, without work for what is never asked of them."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quick_imports"]

_NO_COMPILER = "TORCHDYNAMO_DISABLE"  # PyTorch's own switch, looked at by each `torch.compile`


@contextmanager
def quick_imports() -> Iterator[None]:
    """Let no garbage be looked for, and nothing be prepared for a compiler meanwhile.

    There is no garbage, and a million objects to look through, a fifth of the time. bitsandbytes,
    which PEFT imports, has `torch.compile` prepare four functions that CPUs and CUDA have kernels
    of their own for, and with them comes the whole compiler, almost a second.

    If torch is imported inside, all that is there at the end is left out of what is looked through
    from then on; so a process does that once, when it begins.
    """
    was_enabled, is_first = gc.isenabled(), "torch" not in sys.modules
    compiles = os.environ.get(_NO_COMPILER)
    gc.disable()
    os.environ.setdefault(_NO_COMPILER, "1")
    try:
        yield
    finally:
        if compiles is None:
            os.environ.pop(_NO_COMPILER, None)
        if is_first and "torch" in sys.modules:
            gc.freeze()
        if was_enabled:
            gc.enable()
