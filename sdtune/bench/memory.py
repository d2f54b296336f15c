"""What of the memory belongs to which part of training."""

from __future__ import annotations

import resource
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from sdtune.bench.window import Window
from sdtune.functional.tensor_bytes import bytes_of

__all__ = ["Memory", "MemoryMeter", "SavedTensors", "memory_by_part"]


@dataclass(frozen=True)
class Memory:
    """Bytes by part, as they lie on the device that trains.

    Attributes:
        weights: The frozen base's: what of it stayed there.
        adapter: What learns.
        gradients: As large, where they are kept.
        optimizer: The optimizer's state.
        activations: What the forward pass keeps for the backward one, at its most.
        peak: Of all together: what the GPU's allocator took, from the fourth step on. On a CPU
            the most that the process ever held, which has programs and the start in it.
    """

    weights: int
    adapter: int
    gradients: int
    optimizer: int
    activations: int
    peak: int


def memory_by_part(module: Any, optimizers: Iterable[torch.optim.Optimizer]) -> dict[str, int]:
    """Count weights, adapter, gradients and optimizer.

    Args:
        module: A technique that is being trained.
        optimizers: Its optimizers.

    Returns:
        Bytes by the names of `Memory`.
    """
    model = module.model
    held = [each for each in model.parameters() if each.device == model.device]
    learned = [each for each in held if each.requires_grad]
    frozen = [each for each in held if not each.requires_grad]
    frozen += [each for each in model.buffers() if each.device == model.device]
    state = [
        value
        for optimizer in optimizers
        for entries in optimizer.state.values()
        for value in entries.values()
        if isinstance(value, Tensor)
    ]
    return {
        "weights": bytes_of(frozen),
        "adapter": bytes_of(learned),
        "gradients": bytes_of([each.grad for each in learned if each.grad is not None]),
        "optimizer": bytes_of(state),
    }


class SavedTensors:
    """Counts what autograd keeps for the backward pass, of each storage once.

    Args:
        apart: Tensors that are not counted, such as weights.

    Attributes:
        peak: Bytes, at their most.
    """

    def __init__(self, apart: Iterable[Tensor] = ()) -> None:
        self.peak = 0
        self._apart = {each.untyped_storage().data_ptr() for each in apart}
        self._held: dict[int, int] = {}  # storage -> how many saved tensors lie in it
        self._bytes = 0

    def hooks(self) -> torch.autograd.graph.saved_tensors_hooks:
        """Make the context in which they are counted."""
        return torch.autograd.graph.saved_tensors_hooks(self._pack, _Kept.tensor_of)

    def _pack(self, tensor: Tensor) -> _Kept:
        storage = tensor.untyped_storage()
        key = storage.data_ptr()
        if key in self._apart:
            return _Kept(tensor, None, 0, 0)
        if self._held.get(key, 0) == 0:
            self._bytes += storage.nbytes()
            self.peak = max(self.peak, self._bytes)
        self._held[key] = self._held.get(key, 0) + 1
        return _Kept(tensor, self, key, storage.nbytes())

    def release(self, key: int, size: int) -> None:
        """Count one less.

        Args:
            key: The storage's address.
            size: Its bytes.
        """
        self._held[key] -= 1
        if not self._held[key]:
            del self._held[key]
            self._bytes -= size


class _Kept:
    """A saved tensor; it is released when the graph lets go of it."""

    def __init__(self, tensor: Tensor, counter: SavedTensors | None, key: int, size: int) -> None:
        self.tensor = tensor
        self._counter, self._key, self._size = counter, key, size

    def __del__(self) -> None:
        if self._counter is not None:
            self._counter.release(self._key, self._size)

    def tensor_of(self) -> Tensor:
        return self.tensor


class MemoryMeter(Window):
    """Measures the memory of training: the peak in its first step, the parts in its last.

    What autograd keeps is counted in a step that is neither compiled nor a recorded one, and so
    takes memory beside that of the recording.

    Attributes:
        memory: What was found, once its steps have been taken.
    """

    memory: Memory

    def begin(self, trainer: Trainer, module: Any) -> None:
        """Forget the peak of what was before."""
        if torch.cuda.is_available():
            torch.cuda.empty_cache()  # what a step does not need
            torch.cuda.reset_peak_memory_stats()
        self._saved = SavedTensors(_held(module))
        self._stack = ExitStack()
        self._parts: dict[str, int] = {}
        self._peak: int | None = None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Read the peak, and count what autograd keeps from then on."""
        if self.is_open and self._peak is None:
            self._peak = peak_bytes()
            self._stack.enter_context(torch.compiler.set_stance("force_eager"))
            self._stack.enter_context(self._saved.hooks())
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Count the parts while all of them are there."""
        if self.is_open:
            self._parts = memory_by_part(pl_module, trainer.optimizers)

    def end(self, trainer: Trainer, module: Any) -> None:
        """Put the parts and the peak together."""
        self._stack.close()
        self.memory = Memory(
            **self._parts, activations=self._saved.peak, peak=self._peak or peak_bytes()
        )


def peak_bytes() -> int:
    """Return the most memory that was held: on the GPU, or else by this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_reserved()  # what is recorded is kept without being allocated
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _held(module: Any) -> Iterator[Tensor]:
    yield from module.model.parameters()
    yield from module.model.buffers()
