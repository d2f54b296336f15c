"""One technique, trained by the Trainer and measured on the way."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.loggers import TensorBoardLogger

from sdtune.bench.bare_loop import BareLoop
from sdtune.bench.bench_call import Precision
from sdtune.bench.kernels import KernelMeter
from sdtune.bench.memory import MemoryMeter
from sdtune.bench.operations import OperationMeter
from sdtune.bench.paired_timer import OURS, Loop, PairedTimer
from sdtune.bench.phases import PhaseClock
from sdtune.bench.record import Comparison, Row, spread
from sdtune.bench.reference_loop import ReferenceLoop, has_reference
from sdtune.bench.window import Window, now
from sdtune.bench.workloads import Workload
from sdtune.callbacks.picture_losses import PictureLosses
from sdtune.techniques.compile_clock import compile_seconds

__all__ = ["measure"]

_CLIP = 1.0  # as recipes/sd14 have it for LoRA
_WARM_UP = 2
_PER_ROUND = 2


@dataclass
class _Meters:
    """What looks at a run, one after the other."""

    start: _StartClock
    memory: MemoryMeter
    phases: PhaseClock
    operations: OperationMeter
    kernels: KernelMeter
    timer: PairedTimer = field(init=False)

    @classmethod
    def in_turn(cls, steps: int) -> _Meters:
        start = _StartClock(0, 1)
        memory = MemoryMeter(start.last + _WARM_UP, 2)
        phases = PhaseClock(memory.last, max(2, steps // 4))
        operations = OperationMeter(phases.last, 1)
        return cls(start, memory, phases, operations, KernelMeter(operations.last, 2))

    def callbacks(self) -> list[pl.Callback]:
        meters = (self.start, self.memory, self.phases, self.operations, self.kernels)
        return [*meters, self.timer]


class _ChannelsFirst(pl.Callback):
    """Lays out the UNet's weights as PyTorch does by itself."""

    def on_fit_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        pl_module.model.unet.to(memory_format=torch.contiguous_format)


class _StartClock(Window):
    """Times what comes before the first step, and the first step."""

    preparation = first_step = 0.0
    images = 0

    def __init__(self, first: int, steps: int) -> None:
        super().__init__(first, steps)
        self._started = now()

    def begin(self, trainer: pl.Trainer, module: Any) -> None:
        self.preparation = now() - self._started
        self._started = now()

    def end(self, trainer: pl.Trainer, module: Any) -> None:
        self.first_step = now() - self._started

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        self.images = len(batch["caption"]) + len(batch.get("class_caption", ()))


def measure(
    workload: Workload,
    precision: Precision,
    steps: int,
    ceiling: float,
    *,
    name: str,
    compares: bool = True,
    devices: int = 1,
) -> Row:
    """Train a technique, and measure.

    Args:
        workload: The technique and its data.
        precision: The Trainer's.
        steps: Steps of each loop that are timed.
        ceiling: See `matmul_ceiling`.
        name: The base, as it was given.
        compares: Whether the other loops run in turn with the Trainer.
        devices: Processes that train together; more than one are not compared.

    Returns:
        What was found; where memory was short, a row that says so.
    """
    begun = Row(
        technique=workload.technique,
        base=name,
        resolution=workload.resolution,
        precision=precision,
        batch_size=workload.batch_size,
        images=workload.batch_size,
        rank=workload.rank,
        pictures=workload.pictures,
        gradient_checkpointing=workload.gradient_checkpointing,
        cuda_graphs=workload.cuda_graphs,
        quantization=workload.quantization,
        devices=devices,
        compile=workload.compile,
        compile_blocks=list(workload.compile_blocks),
        channels_last=workload.channels_last,
        benchmark=workload.benchmark,
    )
    data = workload.data()  # writes the pictures, which is no part of what is measured
    meters = _Meters.in_turn(steps)
    loops = _loops(workload, precision) if compares and devices == 1 else {}
    meters.timer = PairedTimer(loops, max(3, steps // _PER_ROUND), _PER_ROUND, meters.kernels.last)
    compiled_before = compile_seconds() if workload.compile else 0.0
    try:
        _train(workload, data, precision, meters, devices)
        row = _row(begun, meters, ceiling)
        if not workload.compile:
            return row
        return replace(row, compile_seconds=compile_seconds() - compiled_before)
    except (torch.OutOfMemoryError, MemoryError) as error:
        [reason, *_] = str(error).splitlines() or [""]
        return replace(begun, error=f"out of memory: {reason}")
    finally:
        _release()


def _train(
    workload: Workload,
    data: pl.LightningDataModule,
    precision: Precision,
    meters: _Meters,
    devices: int,
) -> None:
    module = workload.module()
    has_words = workload.technique in ("textual_inversion", "multi_concept")
    trainer = pl.Trainer(
        max_steps=meters.timer.max_steps,
        accelerator="cuda" if torch.cuda.is_available() else "cpu",
        devices=devices,
        strategy="auto" if devices == 1 else "ddp",
        precision=precision,
        benchmark=workload.benchmark,
        gradient_clip_val=None if has_words else _CLIP,
        logger=TensorBoardLogger(workload.folder / "runs"),
        log_every_n_steps=10,
        callbacks=[
            *([] if workload.channels_last else [_ChannelsFirst()]),
            PictureLosses(),
            LearningRateMonitor(),
            *meters.callbacks(),
        ],
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )
    trainer.fit(module, data)


def _loops(workload: Workload, precision: Precision) -> dict[str, Callable[[Any], Loop]]:
    loops: dict[str, Callable[[Any], Loop]] = {
        "bare": lambda module: BareLoop(workload.module(), precision, module.device)
    }
    if has_reference(workload.module()):
        loops["reference"] = partial(
            ReferenceLoop,
            precision=precision,
            resolution=workload.resolution,
            gradient_checkpointing=workload.gradient_checkpointing,
            quantization=workload.quantization,
        )
    return loops


def _row(begun: Row, meters: _Meters, ceiling: float) -> Row:
    timer, gpu = meters.timer, meters.kernels.found
    seconds = spread(timer.seconds[OURS])
    others = {
        name: Comparison(spread(found), spread(timer.ratios(name)))
        for name, found in timer.seconds.items()
        if name != OURS and found
    }
    flop = meters.operations.flop
    return replace(
        begun,
        images=meters.start.images,
        seconds=seconds,
        preparation=meters.start.preparation,
        first_step=meters.start.first_step,
        phases={str(name): share for name, share in meters.phases.shares().items()},
        memory=meters.memory.memory,
        operations=meters.operations.counts(),
        flop=flop,
        flop_use=flop / seconds.median / ceiling,
        gpu=gpu,
        gpu_busy=None if gpu is None else min(1.0, gpu.busy_seconds / seconds.median),
        others=others,
        without_room=timer.without_room,
    )


def _release() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
