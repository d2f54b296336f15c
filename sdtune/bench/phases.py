"""What share of a step each of its phases takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from sdtune.bench.window import Window, now

__all__ = ["PHASES", "Phase", "PhaseClock"]

Phase = Literal["data", "encode", "forward", "backward", "optimizer", "other"]
PHASES: tuple[Phase, ...] = ("data", "encode", "forward", "backward", "optimizer", "other")
"""`encode`: VAE and text encoders, forwards; `forward`: the UNet; `optimizer` has the clipping of
gradients; `other`: noise, target, loss, logging and the Trainer's loop."""


class PhaseClock(Window):
    """Times the phases of some steps; on a GPU it waits for it at each border.

    Attributes:
        seconds: Phase -> seconds of all steps.
        total: Seconds of all steps.
    """

    def __init__(self, first: int, steps: int) -> None:
        super().__init__(first, steps)
        self.seconds: dict[Phase, float] = dict.fromkeys(PHASES, 0.0)
        self.total = 0.0
        self._stack = ExitStack()
        self._marks: dict[Phase, float] = {}

    def shares(self) -> dict[Phase, float]:
        """Return each phase's share of the time, which sum to 1."""
        return {phase: seconds / self.total for phase, seconds in self.seconds.items()}

    def begin(self, trainer: Trainer, module: Any) -> None:
        """Wrap what encodes and predicts, and start the clock."""
        model = module.model
        self._stack.enter_context(self._timed_method(model, "encode_images", "encode"))
        self._stack.enter_context(self._timed_method(model, "encode_prompts", "encode"))
        self._stack.enter_context(self._timed_method(model, "forward", "forward"))
        for each in trainer.optimizers:
            self._stack.callback(each.register_step_post_hook(self._optimizer_ends).remove)
        self._started = now()
        self._start("data")

    def end(self, trainer: Trainer, module: Any) -> None:
        """Stop the clock, and put back what was wrapped."""
        self._marks.clear()
        self.total = now() - self._started
        self._stack.close()
        known = sum(seconds for phase, seconds in self.seconds.items() if phase != "other")
        self.seconds["other"] = max(0.0, self.total - known)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """End the wait for data."""
        self._stop("data")

    def on_before_backward(self, trainer: Trainer, pl_module: Any, loss: Tensor) -> None:
        """Start the backward pass."""
        self._start("backward")

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End it."""
        self._stop("backward")

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Start the optimizer, which clips first."""
        self._start("optimizer")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Start to wait for the next batch."""
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        self._start("data")

    def _optimizer_ends(self, *_: Any) -> None:
        self._stop("optimizer")

    def _start(self, phase: Phase) -> None:
        if self.is_open:
            self._marks[phase] = now()

    def _stop(self, phase: Phase) -> None:
        begun = self._marks.pop(phase, None)
        if begun is not None:
            self.seconds[phase] += now() - begun

    @contextmanager
    def _timed_method(self, owner: Any, name: str, phase: Phase) -> Iterator[None]:
        method: Callable[..., Any] = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            self._start(phase)
            try:
                return method(*args, **kwargs)
            finally:
                self._stop(phase)

        setattr(owner, name, timed)  # over the class's own
        try:
            yield
        finally:
            delattr(owner, name)
