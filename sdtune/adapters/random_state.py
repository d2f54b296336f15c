"""PyTorch's global random state, kept out of the way of libraries that draw from it."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

__all__ = ["isolated_random_state"]


def isolated_random_state() -> AbstractContextManager[None]:
    """Put the global random state back on leaving, on the CPU and the current GPU.

    Returns:
        A context manager.
    """
    # naming the device: by default all GPUs are forked, which wakes each of them
    is_awake = torch.cuda.is_initialized()
    return torch.random.fork_rng(devices=[torch.cuda.current_device()] if is_awake else [])
