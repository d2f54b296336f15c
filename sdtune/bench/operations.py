"""What a step computes: operations, dtype copies, copies between devices, waits and FLOP."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from sdtune.bench.window import Window
from sdtune.functional.flop_counter import flop_counter

__all__ = ["OperationCounter", "OperationMeter"]

_aten = torch.ops.aten
_COPIES = (_aten._to_copy.default, _aten.copy_.default)


class OperationCounter(TorchDispatchMode):
    """Counts what PyTorch is told to do.

    Attributes:
        operations: All of it.
        dtype_copies: Copies from one floating type to another.
        device_copies: Copies between devices.
        waits: Reads of a number out of a tensor, which wait for the device that it is on.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations = self.dtype_copies = self.device_copies = self.waits = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Count one operation, and let it be done."""
        result = func(*args, **(kwargs or {}))
        self.operations += 1
        if func in _COPIES:
            source = args[1] if func is _aten.copy_.default else args[0]
            if isinstance(source, Tensor) and isinstance(result, Tensor):
                self.device_copies += source.device != result.device
                is_floating = source.is_floating_point() and result.is_floating_point()
                self.dtype_copies += is_floating and source.dtype != result.dtype
        elif func is _aten._local_scalar_dense.default:
            self.waits += 1
        return result


class OperationMeter(Window):
    """Counts the operations and FLOP of some steps, both passes and the optimizer.

    Compiled blocks run uncompiled while it counts: what is fused is not told to PyTorch.

    Attributes:
        counter: The operations of all its steps.
        flop: Of one step.
    """

    def begin(self, trainer: Trainer, module: Any) -> None:
        """Prepare to count; reading the data is left out."""
        self.counter = OperationCounter()
        self.flop = 0.0
        self._stack = ExitStack()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Start to count."""
        if self.is_open:
            self._stack.enter_context(torch.compiler.set_stance("force_eager"))
            self._flop_counter = self._stack.enter_context(flop_counter())
            self._stack.enter_context(self.counter)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop."""
        if self.is_open:
            self._stack.close()
            self.flop += self._flop_counter.get_total_flops() / self.steps
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def counts(self) -> dict[str, float]:
        """Return what a step has of each, by name."""
        names = ("operations", "dtype_copies", "device_copies", "waits")
        return {name: getattr(self.counter, name) / self.steps for name in names}
