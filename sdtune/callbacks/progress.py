"""How far training is: smoothed loss, pictures per second and time left."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections import deque
from contextlib import ExitStack
from statistics import median
from typing import Any, cast

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelSummary, TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor
from tqdm.contrib.logging import logging_redirect_tqdm

from sdtune._checks import check_all, check_not_negative, check_number, check_positive
from sdtune._run_steps import total_steps

__all__ = ["Progress"]

_REDRAWS_PER_SECOND = 5.0
_RECENT_BATCHES = 50
_MUCH_WAITING = 0.1


class Progress(TQDMProgressBar):
    """Show one bar for the whole of training, and in a log file a line now and then.

    The bar counts optimizer steps. The rate is the median of recent batches, all devices
    together, so that a pause to sample or validate does not show in it; the time left does
    count such pauses. Of several processes the loss is the first one's since they last logged, and
    before that of all. The share of time for which recent batches were waited for is logged as
    `train/data_wait`, and shown where it is a tenth or more; that of all steps is said at the end.
    What is logged meanwhile stands above the bar. The Trainer's own summary, of modules, gives way
    to a line of how much learns; a `ModelSummary` among the callbacks stays.

    Args:
        refresh_rate: Batches between two looks at the clock; 0 switches the display off.
        seconds_between_lines: How often a line is printed where no bar can be drawn.
        smoothing: Share in [0, 1) of the smoothed loss that is kept from one batch to the next.

    Raises:
        TypeError: If an argument is no number.
        ValueError: If an argument is out of its range.
    """

    BAR_FORMAT = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"

    _total: int | None
    _shown: float
    _waited_before: float | None

    def __init__(
        self,
        refresh_rate: int = 1,
        seconds_between_lines: float = 30.0,
        smoothing: float = 0.98,
    ) -> None:
        check_all(
            lambda: check_not_negative("refresh_rate", refresh_rate),
            lambda: check_positive("seconds_between_lines", seconds_between_lines),
            lambda: _check_smoothing(smoothing),
        )
        super().__init__(refresh_rate=refresh_rate)
        self.seconds_between_lines = seconds_between_lines
        self.smoothing = smoothing
        self._redirection = ExitStack()
        self._reset(first_step=0)

    def get_metrics(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """Say what stands behind the bar."""
        shown: dict[str, int | str | float | dict[str, float]] = {
            "loss": f"{self.loss:.4f}",
            "images/s": f"{self.images_per_second:.1f}",
            "left": _clock(self.seconds_left(trainer.global_step)),
        }
        return shown | ({"data wait": f"{self.data_wait:.0%}"} if self._waits_much() else {})

    def _waits_much(self) -> bool:
        return self.data_wait >= _MUCH_WAITING

    @property
    def loss(self) -> float:
        """The exponentially smoothed training loss; nan before the first batch."""
        if self._loss is None:
            return math.nan
        return self._loss.item() / (1.0 - self.smoothing**self._batches)

    @property
    def images_per_second(self) -> float:
        """The median rate of recent batches, over all devices; nan before the first batch."""
        return 1.0 / median(self._seconds_per_image) if self._seconds_per_image else math.nan

    @property
    def data_wait(self) -> float:
        """The share of time for which recent batches were waited for, in [0, 1]; nan if unknown."""
        if len(self._waits) < 2:
            return math.nan
        (begin, before), (end, waited) = self._waits[0], self._waits[-1]
        return min(1.0, (waited - before) / max(end - begin, 1e-9))

    def seconds_left(self, step: int) -> float:
        """Estimate the time to the last step from the time since the first of this start.

        Args:
            step: Optimizer steps taken so far, those of an earlier start included.

        Returns:
            Seconds; nan where the number of steps is not known or none has been taken.
        """
        done = step - self._first_step
        if self._total is None or done <= 0:
            return math.nan
        elapsed = self._latest - self._start
        return elapsed / done * (self._total - step)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Keep the Trainer's summary from being shown."""
        super().setup(trainer, pl_module, stage)
        callbacks: list[object] = getattr(trainer, "callbacks", [])
        for each in callbacks:
            if isinstance(each, ModelSummary) and each._max_depth == 1:
                each._max_depth = 0  # as it is made where nobody has asked for it

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say how much learns."""
        learn = sum(each.numel() for each in pl_module.parameters() if each.requires_grad)
        model = getattr(pl_module, "model", pl_module)
        every = sum(each.numel() for each in model.parameters())
        if self.is_enabled and learn:
            rank_zero_info(f"{_amount(learn)} parameters learn, of {_amount(every)}.")

    def on_train_start(self, trainer: Trainer, *_: Any) -> None:
        """Open the bar at the step that training starts or resumes from."""
        self._reset(first_step=trainer.global_step)
        self._total = total_steps(trainer) or None
        self.train_progress_bar = self.init_train_tqdm()
        self.train_progress_bar.total = self._total
        self.train_progress_bar.initial = trainer.global_step
        self.train_progress_bar.n = trainer.global_step
        if self.is_enabled and _is_interactive():
            self._redirection.enter_context(
                logging_redirect_tqdm(_console_loggers(), tqdm_class=Tqdm)
            )

    def on_exception(self, *_: Any) -> None:
        """Leave the bar as it is, and let messages go their own way again."""
        self._redirection.close()

    def on_train_epoch_start(self, *_: Any) -> None:
        """Leave the bar alone: it runs over all epochs."""

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        """Start the clock at the first batch, after the base has been sampled."""
        waited = _waited(trainer)
        if not self._batches:
            self._start = self._latest = self._step_start = time.monotonic()
            self._waited_before = waited
        elif waited is not None:
            self._step_start = time.monotonic()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar, and say for which share of the time training waited for data."""
        super().on_train_end(trainer, pl_module)
        self._redirection.close()
        waited, before = _waited(trainer), self._waited_before
        if waited is None or before is None or not self._batches:
            return
        share = (waited - before) / max(waited - before + self._seconds_in_steps, 1e-9)
        said = f"Training waited for data for {share:.0%} of its time"
        if share < _MUCH_WAITING:
            rank_zero_info(f"{said}.")
            return
        workers = getattr(trainer.train_dataloader, "num_workers", 0)
        read = "1 process read" if workers == 1 else f"{workers} processes read"
        rank_zero_info(
            f"{said} ({read if workers else 'no other process read'} pictures): more of "
            "`data.num_workers` or of the processor's cores, smaller files, or kept latents "
            "(`data.cache_latents`, `data.cached_views`) make it faster."
        )

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Count a batch, and show it if it is time to."""
        self._count(trainer, outputs, batch)
        wait = self.data_wait
        if trainer.world_size > 1 and trainer._logger_connector.should_update_logs:
            wait = self._agree(trainer, wait)
        if not math.isnan(wait):
            pl_module.log("train/data_wait", wait, batch_size=1)
        is_last = trainer.global_step == self._total
        if not self.is_enabled or (self._batches % self.refresh_rate and not is_last):
            return
        interval = 1.0 / _REDRAWS_PER_SECOND if _is_interactive() else self.seconds_between_lines
        if not is_last and self._latest - self._shown < interval:
            return
        self._shown = self._latest
        if _is_interactive():
            self.train_progress_bar.n = trainer.global_step
            self.train_progress_bar.set_postfix(self.get_metrics(trainer, pl_module))
        else:
            rank_zero_info(self._line(trainer.global_step))

    def on_train_epoch_end(self, *_: Any) -> None:
        """Leave the bar alone: it runs over all epochs."""

    def init_train_tqdm(self) -> Tqdm:
        """Make the bar; one that draws nothing where there is no terminal."""
        return super().init_train_tqdm() if _is_interactive() else Tqdm(disable=True)

    def init_sanity_tqdm(self) -> Tqdm:
        """Draw no second bar for the first two validation batches."""
        return Tqdm(disable=True)

    def init_validation_tqdm(self) -> Tqdm:
        """Draw no second bar while training."""
        is_alone = self.trainer.state.fn == "validate" and _is_interactive()
        return super().init_validation_tqdm() if is_alone else Tqdm(disable=True)

    def _reset(self, first_step: int) -> None:
        self._first_step = first_step
        self._total = None
        self._batches = 0
        self._loss: Tensor | None = None
        self._seconds_per_image: deque[float] = deque(maxlen=_RECENT_BATCHES)
        self._waits: deque[tuple[float, float]] = deque(maxlen=_RECENT_BATCHES)
        self._start = self._latest = self._step_start = 0.0
        self._seconds_in_steps = 0.0
        self._waited_before = None
        self._shown = -math.inf

    def _count(self, trainer: Trainer, outputs: Any, batch: Any) -> None:
        now = time.monotonic()
        self._seconds_in_steps += now - self._step_start
        waited = _waited(trainer)
        if waited is not None:
            self._waits.append((now, waited))
        images = len(batch["caption"]) * trainer.world_size
        self._seconds_per_image.append(max(now - self._latest, 1e-9) / images)
        self._latest = now
        self._batches += 1
        # Lightning divides the loss by the batches that are accumulated
        loss = outputs["loss"].detach().float() * trainer.accumulate_grad_batches
        # on the device: reading the number at every batch would make the GPU wait
        old = torch.zeros_like(loss) if self._loss is None else self._loss
        new = self.smoothing * old + (1.0 - self.smoothing) * loss
        # one that is lost is not for ever: training may go back
        self._loss = torch.where(loss.isfinite(), new, old)

    def _agree(self, trainer: Trainer, wait: float) -> float:
        """Take the smoothed loss, and the wait for data, of all processes, when they are logged."""
        loss = torch.zeros((), device=trainer.strategy.root_device)
        loss = loss if self._loss is None else self._loss
        # linear in the losses: the mean of what is smoothed is the smoothed mean
        both = torch.stack([loss, loss.new_tensor(wait)])
        self._loss, mean_wait = cast(Tensor, trainer.strategy.reduce(both, reduce_op="mean"))
        return float(mean_wait)

    def _line(self, step: int) -> str:
        of = "" if self._total is None else f"/{self._total}"
        return (
            f"step {step}{of}: loss {self.loss:.4f}, {self.images_per_second:.1f} images/s, "
            f"{_clock(self.seconds_left(step))} left"
            + (f", {self.data_wait:.0%} waiting for data" if self._waits_much() else "")
        )


def _check_smoothing(smoothing: float) -> None:
    check_number("smoothing", smoothing, "number in [0, 1)")
    if not 0.0 <= smoothing < 1.0:
        raise ValueError(f"Expected `smoothing` to be in [0, 1), but got {smoothing}.")


def _waited(trainer: Trainer) -> float | None:
    """Read for how many seconds batches were waited for; None if the loader does not say it."""
    waited: float | None = getattr(getattr(trainer, "train_dataloader", None), "waited", None)
    return waited


def _console_loggers() -> list[logging.Logger]:
    """List the loggers that write by themselves, as Lightning's do."""
    known = [logging.getLogger(name) for name in logging.root.manager.loggerDict]
    return [logging.root, *(each for each in known if each.handlers)]


def _amount(number: int) -> str:
    """Write a number with three digits, such as `1.07 M`."""
    for size, unit in ((10**9, " G"), (10**6, " M"), (10**3, " k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return str(number)


def _is_interactive() -> bool:
    return sys.stdout.isatty() or hasattr(sys, "ps1")  # a terminal, or a notebook


def _clock(seconds: float) -> str:
    return "?" if math.isnan(seconds) else Tqdm.format_interval(seconds)
