"""A tuned model whose UNet's repeated blocks are compiled for training."""

from __future__ import annotations

import os
import shutil
import sysconfig
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from lightning.pytorch.utilities.rank_zero import rank_zero_info

from sdtune._run_steps import may_train, total_steps
from sdtune.techniques.compile_clock import CompileClock
from sdtune.techniques.compiled_blocks import compile_blocks
from sdtune.techniques.tuned_model import TunedModelModule

__all__ = ["CompiledModule", "compiler_problems"]

_BACKEND = "inductor"


class CompiledModule(TunedModelModule):
    """A tuned model whose UNet's repeated blocks may be compiled, see `compile_blocks`.

    Args:
        compile: Whether they are.
        **arguments: As for `TunedModelModule`.

    Attributes:
        compiled_kinds: Names of the blocks' classes; by default those that the UNet repeats.
    """

    def __init__(self, *, compile: bool = False, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.is_compiled = compile  # `compile` itself is a method of torch's
        self.compiled_kinds: tuple[str, ...] = ()
        self._clock: CompileClock | None = None

    def problems_with_trainer(self, trainer: pl.Trainer) -> list[str]:
        """List what keeps this technique from being trained by a Trainer; loads no weights."""
        problems = super().problems_with_trainer(trainer)
        if not self.is_compiled or not may_train(trainer):
            return problems
        problems += [line for each in self.learns for line in each.compile_problems()]
        if self.quantization is not None:
            problems.append(
                f"Expected `model.compile` to be false with `model.quantization` "
                f"`{self.quantization}`, whose weights are made anew where they are needed: take "
                "one of the two."
            )
        strategy: Any = trainer.strategy
        if not isinstance(strategy, SingleDeviceStrategy | DDPStrategy):
            problems.append(
                f"Expected `model.compile` to be false with {type(strategy).__name__}, which "
                "splits or moves the weights that compiled blocks hold: take `ddp`, or one device."
            )
        return [*problems, *compiler_problems(strategy.root_device)]

    def configure_model(self) -> None:
        """Load the base, add what learns, and let the blocks be compiled when training begins."""
        super().configure_model()
        if self.is_compiled and self._trainer is not None and self.is_fitting:
            blocks = compile_blocks(self.model.unet, self.compiled_kinds, _BACKEND)
            self._clock = CompileClock(blocks) if blocks else self._clock

    def on_train_end(self) -> None:
        """Say it at the end of a run that is too short for that."""
        super().on_train_end()
        line = None if self._clock is None else self._clock.at_end(self.global_step)
        if line is not None:
            rank_zero_info(line)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Say how long compiling took, once it is known how long steps take after it."""
        super().on_train_batch_end(outputs, batch, batch_idx)
        if self._clock is not None:
            batches = self.trainer.accumulate_grad_batches
            line = self._clock.after_batch(batches, lambda: total_steps(self.trainer))
            if line is not None:
                rank_zero_info(line)


def compiler_problems(device: torch.device) -> list[str]:
    """List what is missing to compile for a device.

    Args:
        device: Where training is.

    Returns:
        One sentence each, with what to install.
    """
    return [f"Expected `model.compile` to be false here: {reason}." for reason in _missing(device)]


def _missing(device: torch.device) -> Iterator[str]:
    if device.type not in ("cpu", "cuda"):
        yield f"compiling for `{device.type}` is not tested; it is for `cpu` and `cuda`"
        return
    if device.type == "cuda":
        if find_spec("triton") is None:
            yield "Triton is not installed, which compiles for GPUs (`pip install triton`)"
        major, minor = torch.cuda.get_device_capability(device)
        if major < 7:
            yield f"Triton needs a GPU of compute capability 7.0, and this has {major}.{minor}"
        # Triton builds its launcher with it
        if not (os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")):
            yield "there is no C compiler (`apt-get install gcc`, or name one in `CC`)"
    elif not _has_cpp_compiler():
        yield "there is no C++ compiler (`apt-get install g++`, or name one in `CXX`)"
    header = Path(sysconfig.get_paths()["include"], "Python.h")
    if os.name == "posix" and not header.is_file():
        yield f"Python's headers are not installed, {header} (`apt-get install python3-dev`)"


def _has_cpp_compiler() -> bool:
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return False
    return True
