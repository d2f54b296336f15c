"""What was measured, as it is kept in bench.json."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from sdtune.bench.kernels import Kernels
from sdtune.bench.memory import Memory

__all__ = ["VERSION", "Bench", "Comparison", "Growth", "Row", "Spread", "spread"]

VERSION = 1
"""Raised when a key changes its meaning."""


@dataclass(frozen=True)
class Spread:
    """The middle of several measurements, and between what half of them lie.

    Attributes:
        median: The median.
        low: The lower quartile.
        high: The upper one.
    """

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Another loop, measured turn by turn with sdtune's.

    Attributes:
        seconds: Of a step of it.
        ratio: How many times as fast sdtune's is, round by round.
    """

    seconds: Spread
    ratio: Spread


@dataclass(frozen=True)
class Row:
    """One technique at one size.

    Attributes:
        technique: Its name.
        base: As it was given.
        resolution: Pixels.
        precision: The Trainer's.
        batch_size: Instance pictures in a step, of each process.
        images: All pictures in a step, of each process.
        rank: Of the LoRA.
        pictures: In the set.
        gradient_checkpointing: Whether activations were recomputed.
        cuda_graphs: Whether passes were recorded, which only a GPU does.
        quantization: How the frozen linear layers were kept; None is as they are.
        devices: Processes.
        compile: Whether blocks of the UNet were compiled.
        compile_blocks: Names of their classes, if they were not those of a recipe.
        channels_last: Whether channels of the UNet's convolutions lay last.
        benchmark: The Trainer's.
        error: Why nothing was measured, such as a lack of memory.
        seconds: Of a step, with all that the Trainer does.
        preparation: Seconds from the technique's making to its first step: the base, the pictures'
            scan, what is encoded once.
        first_step: Seconds of it.
        compile_seconds: What compiling took of the first steps, by the clock; None without it.
        phases: Each phase's share of a step, see `sdtune.bench.phases`.
        memory: Bytes by part.
        operations: What PyTorch is told in a step, see `sdtune.bench.operations`.
        flop: Floating-point operations of a step: matrices, convolutions and attention.
        flop_use: Share of what the device reaches with large matrices in this precision.
        gpu: Kernels and copies of a step; None on a CPU.
        gpu_busy: Share of a step in which the GPU did anything; None on a CPU.
        others: Loop -> how it compares: `bare` is the networks alone, `reference` what common
            scripts do.
        without_room: Loops that the GPU had no room for beside sdtune's.
    """

    technique: str
    base: str
    resolution: int
    precision: str
    batch_size: int
    images: int
    rank: int
    pictures: int
    gradient_checkpointing: bool = False
    cuda_graphs: bool = True
    quantization: str | None = None
    devices: int = 1
    compile: bool = False
    compile_blocks: list[str] = field(default_factory=list)
    channels_last: bool = True
    benchmark: bool = False
    error: str | None = None
    seconds: Spread | None = None
    preparation: float | None = None
    first_step: float | None = None
    compile_seconds: float | None = None
    phases: dict[str, float] = field(default_factory=dict)
    memory: Memory | None = None
    operations: dict[str, float] = field(default_factory=dict)
    flop: float | None = None
    flop_use: float | None = None
    gpu: Kernels | None = None
    gpu_busy: float | None = None
    others: dict[str, Comparison] = field(default_factory=dict)
    without_room: list[str] = field(default_factory=list)

    @property
    def images_per_second(self) -> float | None:
        """Pictures that all processes together train on in a second."""
        if self.seconds is None:
            return None
        return self.images * self.devices / self.seconds.median


GrowingName = Literal["rank", "batch_size", "resolution", "pictures", "devices"]


@dataclass(frozen=True)
class Growth:
    """What a step costs against one thing, for each technique.

    Attributes:
        of: What grows.
        rows: One for each technique and value; `seconds` has the spread between passes.
    """

    of: GrowingName
    rows: list[Row]


@dataclass(frozen=True)
class Bench:
    """All of one call.

    Attributes:
        command: The call, to repeat it.
        machine: Processor, GPU, threads, load and versions of packages.
        clock: What seconds are: those of the clock, or those that the process computed.
        ceiling: Precision -> FLOP in a second that the device reaches with large matrices.
        rows: What was measured beside the other loops.
        growth: What grew, if anything.
        version: Of this file.
    """

    command: str
    machine: dict[str, str]
    clock: str
    ceiling: dict[str, float]
    rows: list[Row]
    growth: Growth | None = None
    version: int = VERSION


def spread(values: Sequence[float]) -> Spread:
    """Take the median and the quartiles.

    Args:
        values: At least one.
    """
    if len(values) < 2:
        return Spread(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high)
