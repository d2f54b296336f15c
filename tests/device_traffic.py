"""Counts what makes a processor wait for its GPU, without a GPU: a model of no values stands in.

A model on torch's `meta` device runs every operation but computes nothing. What goes to it from the
CPU is what would go to a GPU, and what reads a value from it cannot be done, as on a GPU it cannot
be done without waiting.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["DeviceTraffic"]

_COPIES = ("_to_copy", "copy_", "lift_fresh")
_READS = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "equal")


class DeviceTraffic(TorchDispatchMode):
    """Counts operations, copies between devices and waits, while it is entered.

    Attributes:
        operations: All of them.
        copies: Tensors that went from the CPU to the device.
        copied_bytes: Their bytes.
        waits: Operations at which the processor waits for all that the device has to do.
        dtype_copies: Copies on one device into another type.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0
        self.copies = 0
        self.copied_bytes = 0
        self.waits: list[str] = []
        self.dtype_copies = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Note an operation, and do it."""
        kwargs = kwargs or {}
        self.operations += 1
        name = func._schema.name.removeprefix("aten::")
        if name in _READS:
            self.waits.append(name)
        result = func(*args, **kwargs)
        if name in _COPIES:
            before, after = list(_tensors((args, kwargs))), next(_tensors(result), None)
            if before and after is not None:
                self._see_copy(name, before[-1], after, kwargs, args)
        elif name.startswith("index") and len({e.device for e in _tensors((args, kwargs))}) > 1:
            self.waits.append(f"{name} by an index on the CPU")
        return result

    def _see_copy(
        self, name: str, source: Tensor, after: Tensor, kwargs: dict[str, Any], args: Any
    ) -> None:
        if source.device != after.device or (name == "lift_fresh" and after.device.type != "cpu"):
            self.copies += 1
            self.copied_bytes += after.numel() * after.element_size()
            is_free = kwargs.get("non_blocking") or (name == "copy_" and args[2:] == (True,))
            if not is_free:
                self.waits.append(f"{name} of {tuple(after.shape)}")
        elif source.dtype != after.dtype:
            self.dtype_copies += 1


def _tensors(values: Any) -> Iterator[Tensor]:
    return (each for each in tree_leaves(values) if isinstance(each, Tensor))
