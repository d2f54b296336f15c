"""Imports of the large libraries, of which the garbage collector takes a fifth of the time."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quick_imports"]


@contextmanager
def quick_imports() -> Iterator[None]:
    """Let no garbage be looked for meanwhile: there is none, and a million objects to look through.

    If torch is imported inside, all that is there at the end is left out of what is looked through
    from then on; so a process does that once, when it begins.
    """
    was_enabled, is_first = gc.isenabled(), "torch" not in sys.modules
    gc.disable()
    try:
        yield
    finally:
        if is_first and "torch" in sys.modules:
            gc.freeze()
        if was_enabled:
            gc.enable()
