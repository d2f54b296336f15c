"""Calls of a network that a GPU repeats by itself, for as long as they are the same computation."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

__all__ = ["Pass", "RecordedCalls", "autocast_that_keeps_nothing"]

log = logging.getLogger(__name__)

Pass = Callable[..., tuple[Tensor, ...]]
"""Turns tensors into tensors, with operations of a GPU alone."""

R = TypeVar("R")

_MOST = 32  # recordings: buckets of one size have about twenty shapes


class RecordedCalls(ABC, Generic[R]):
    """Records calls of one network and repeats them.

    At inputs of new shapes a call is computed as always, which also warms up what a GPU's libraries
    prepare at the first one; at the second ones it is recorded. It is computed as always, too, on a
    CPU, and where somebody counts operations or saved tensors.

    All recordings share memory, which is that of the largest: between two steps it is kept.

    Args:
        record: What records in the place of a GPU, for tests on a CPU.

    Attributes:
        is_on: Whether calls may be recorded and repeated.
        parameters: What of the network learns.
        frozen: What else it holds; a recording is of one place of each.
    """

    def __init__(self, record: Callable[..., R] | None = None) -> None:
        self._record = record
        self.is_on = False
        self.parameters: Sequence[Tensor] = ()
        self.frozen: Sequence[Tensor] = ()
        self.clear()

    def clear(self) -> None:
        """Forget all recordings; their memory is free again."""
        self._seen: set[Hashable] = set()
        self._recordings: dict[Hashable, R] = {}
        self._pool: Any = None

    def __deepcopy__(self, memo: dict[int, Any]) -> RecordedCalls[R]:
        """Return one without recordings: a copied network has weights of its own."""
        return type(self)(self._record)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._record,)

    def __call__(
        self, function: Pass, inputs: Sequence[Tensor], kind: Hashable = ()
    ) -> tuple[Tensor, ...]:
        """Compute a call, or repeat a recorded one.

        Args:
            function: The call. It must do the same whenever `kind` and the shapes are the same.
            inputs: Tensors on the device.
            kind: What else decides what it does.

        Returns:
            What the function returns.
        """
        if not self.is_on or not self._may_record(inputs):
            return function(*inputs)
        if not self._record and not all(each.is_cuda for each in inputs):
            return function(*inputs)
        if is_in_torch_dispatch_mode() or torch._C._autograd._top_saved_tensors_default_hooks(True):
            return function(*inputs)  # somebody counts
        where = tuple(each.data_ptr() for each in self.frozen)
        key = (kind, *map(_described, (*inputs, *self.parameters)), where, _autocast())
        if key not in self._seen:
            self._seen.add(key)
            return function(*inputs)
        recording = self._recordings.get(key) or self._recorded(key, function, inputs)
        return function(*inputs) if recording is None else self._repeat(recording, inputs)

    @abstractmethod
    def _may_record(self, inputs: Sequence[Tensor]) -> bool:
        """Tell whether a call is of the kind that is recorded here."""

    @abstractmethod
    def _make(self, function: Pass, inputs: Sequence[Tensor], pool: Any) -> R:
        """Record a call, with memory of a pool.

        Raises:
            RuntimeError: If it waits for the GPU or copies from the host, or memory is short.
        """

    @abstractmethod
    def _repeat(self, recording: R, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Repeat a recorded call with other values."""

    def _recorded(self, key: Hashable, function: Pass, inputs: Sequence[Tensor]) -> R | None:
        if len(self._recordings) == _MOST:
            return None
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle() if self._record is None else object()
        try:
            recording = self._make(function, inputs, self._pool)
        except RuntimeError as error:
            self.is_on = False
            self.clear()
            [reason, *_] = str(error).splitlines() or [""]
            log.warning("The step could not be recorded as a CUDA graph and is slower: %s", reason)
            return None
        self._recordings[key] = recording
        return recording


def autocast_that_keeps_nothing() -> AbstractContextManager[Any]:
    """Let autocast, where it is on, keep no cast weights: a recording would overwrite them."""
    if not torch.is_autocast_enabled("cuda"):
        return nullcontext()
    dtype = torch.get_autocast_dtype("cuda")
    return torch.autocast("cuda", dtype=dtype, cache_enabled=False)


def _described(value: Tensor) -> Hashable:
    """Describe what a recording depends on; of what learns, where it lies."""
    place = value.data_ptr() if isinstance(value, torch.nn.Parameter) else 0
    return value.shape, value.dtype, value.requires_grad, place


def _autocast() -> Hashable:
    return torch.is_autocast_enabled("cuda") and torch.get_autocast_dtype("cuda")
