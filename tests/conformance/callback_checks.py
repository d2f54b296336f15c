"""What must hold with single callbacks and loggers."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import lightning.pytorch.callbacks as stock
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger, Logger
from lightning.pytorch.tuner import batch_size_scaling
from torch import Tensor

from sdtune.callbacks.resume_checkpoint import ResumeCheckpoint
from tests.conformance.bench import Bench
from tests.conformance.checks import checkpoint_resumes, equal, is_refused, same, trains
from tests.conformance.row import Arguments, Check


class Bar(stock.ProgressBar):
    """Keeps what a bar would show."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[Any] = []

    def disable(self) -> None:
        """Do nothing."""

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *rest: Any) -> None:
        self.shown.append(self.get_metrics(trainer, pl_module)["train/loss"])


class Losses(stock.LambdaCallback):
    """Keeps what steps return."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        super().__init__(on_train_batch_end=lambda *rest: self.seen.append(rest[2]["loss"]))


class Freezing(stock.BaseFinetuning):
    """Freezes everything for an epoch."""

    def freeze_before_training(self, pl_module: pl.LightningModule) -> None:
        self.freeze(pl_module)

    def finetune_function(self, pl_module: Any, epoch: int, optimizer: Any) -> None:
        if epoch == 1:
            self.unfreeze_and_add_param_group(pl_module, optimizer)


class Breaking(pl.Callback):
    """Fails after the second batch."""

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx == 1:
            raise KeyError("broken")


class Memory(Logger):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.metrics: dict[int, Any] = {}
        self.arguments: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """Its name."""
        return "memory"

    @property
    def version(self) -> int:
        """Its version."""
        return 0

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Keep figures."""
        self.metrics.setdefault(step or 0, {}).update(metrics)

    def log_hyperparams(self, params: Any, *rest: Any, **more: Any) -> None:
        """Keep arguments."""
        self.arguments.update(params)


def best(folder: str) -> stock.ModelCheckpoint:
    """Keep the checkpoint of the lowest loss."""
    return stock.ModelCheckpoint(
        folder, monitor="train/loss", save_top_k=1, every_n_train_steps=1, filename="{step}"
    )


def stopping(monitor: str) -> stock.EarlyStopping:
    """Stop as soon as a quantity is seen twice."""
    return stock.EarlyStopping(
        monitor,
        patience=1,
        min_delta=1e9,
        check_on_train_epoch_end=monitor.startswith("train") or None,
    )


def sizes() -> stock.BatchSizeFinder:
    """Try a batch of two."""
    return stock.BatchSizeFinder(max_trials=1, steps_per_trial=1, init_val=2, margin=0.0)


def throughput() -> stock.ThroughputMonitor:
    """Count pictures."""
    return stock.ThroughputMonitor(lambda batch: len(batch["index"]), window_size=2)


def same_with_checkpoints(bench: Bench, arguments: Arguments) -> None:
    """Change nothing."""
    same(bench, {**arguments, "enable_checkpointing": True})


def _given(run: Any) -> Any:
    return run.trainer.callbacks[0]


def shows_loss(bench: Bench, arguments: Arguments) -> None:
    """Show each loss."""
    run = bench.fit(**arguments, enable_progress_bar=True)
    bar = next(each for each in run.trainer.callbacks if isinstance(each, Bar))
    assert len(bar.shown) == 4
    assert equal(run.learned, bench.plain().learned)


def gets_losses(bench: Bench, arguments: Arguments) -> None:
    """Be handed each loss."""
    run = same(bench, arguments)
    assert len(_given(run).seen) == 4


def logs_rates(bench: Bench, arguments: Arguments) -> None:
    """Log a rate for each group of what learns, at each step, and change nothing."""
    logger = CSVLogger(bench.folder)
    run = same(bench, {**arguments, "logger": logger, "log_every_n_steps": 1})
    names = {f"lr-AdamW/{each['name']}" for each in run.module.parameter_groups()}
    names |= {"lr-AdamW"} if len(names) == 1 else set()
    rows = [row for row in _logged(logger) if any(row.get(name) for name in names)]
    assert len(rows) == run.steps


def keeps_best(bench: Bench, arguments: Arguments) -> None:
    """Keep the one checkpoint of the lowest loss."""
    run = bench.fit(**arguments, enable_checkpointing=True)
    [path] = Path("own").glob("*.ckpt")
    step = int(path.stem.removeprefix("step="))
    state = torch.load(path, weights_only=True)["state_dict"]
    assert equal(state, run.trace.learned[step - 1])


def keeps_on_exception(bench: Bench, arguments: Arguments) -> None:
    """Write what was learned when something else failed, and go on from there."""
    arguments["callbacks"] += [Breaking()]
    with pytest.raises(KeyError, match="broken"):
        bench.fit(**arguments, enable_checkpointing=True)
    checkpoint_resumes(bench, bench.plain(), Path("own/on_exception.ckpt"))


def stops_after(epochs: int) -> Check:
    """Make a check that a run stops after so many epochs."""

    def check(bench: Bench, arguments: Arguments) -> None:
        run = bench.fit(**arguments, max_epochs=4, **_validation(arguments))
        assert run.steps == epochs * bench.plain().steps

    return check


def _validation(arguments: Arguments) -> Arguments:
    return {"limit_val_batches": 1} if arguments["callbacks"][0].monitor == "val/loss" else {}


def names_quantities(bench: Bench, arguments: Arguments) -> None:
    """Say what could have been monitored."""
    with pytest.raises(
        RuntimeError, match=r"metric `train/los` which is not available.*train/loss"
    ):
        bench.fit(**arguments)


def accumulates_later(bench: Bench, arguments: Arguments) -> None:
    """Take four steps in the first epoch and two in the second."""
    run = bench.fit(**arguments, max_epochs=2)
    assert run.steps == 6
    states = run.trace.learned
    assert equal(states[4], states[3])
    assert not equal(states[5], states[4])


def finds_rate(bench: Bench, arguments: Arguments) -> None:
    """Train with the rate that was found, as a run that begins with it."""
    if bench.technique().prior:
        is_refused(bench, arguments, "beside class pictures, which are drawn after it has trained")
        return
    steps = {"max_epochs": -1, "max_steps": 4}  # the finder keeps to the run's epochs
    run = bench.fit(**_kept(arguments), **steps)
    rate = run.module.learning_rate
    assert rate != bench.technique().learning_rate
    begun = bench.technique()
    begun.learning_rate = rate
    assert run.steps == 4
    assert equal(run.learned, bench.fit(begun, **steps).learned)


def finds_batch_size(bench: Bench, arguments: Arguments) -> None:
    """Train with the batches that were found, as a run that begins with them."""
    if bench.technique().prior:
        is_refused(bench, arguments, "beside class pictures, which are drawn after it has trained")
        return
    with pytest.MonkeyPatch.context() as patch:
        # it frees a GPU's memory, and looks four times at all that the tests hold
        patch.setattr(batch_size_scaling, "garbage_collection_cuda", lambda: None)
        run = bench.fit(**_kept(arguments))
    size = run.data.batch_size
    assert size > 1
    assert run.trace.batches
    assert {len(indices) for _, indices in run.trace.batches} == {min(size, 4)}
    begun = bench.fit(data=bench.data(batch_size=size))
    assert equal(run.learned, begun.learned)


def _kept(arguments: Arguments) -> Arguments:
    """Add what every recipe has, and would take the finder's own file for a resume."""
    callbacks = [*arguments["callbacks"], ResumeCheckpoint(100)]
    return {**arguments, "callbacks": callbacks, "enable_checkpointing": True}


def averages(decay: float | None) -> Check:
    """Make a check that a run ends with an average of what it was after each step."""

    def check(bench: Bench, arguments: Arguments) -> None:
        run = trains(bench, arguments)
        states = bench.plain().trace.learned
        mean = states[0]
        for count, state in enumerate(states[1:], start=2):
            share = 1 / count if decay is None else 1 - decay
            mean = {name: value.lerp(state[name], share) for name, value in mean.items()}
        for name, value in run.learned.items():
            torch.testing.assert_close(value, mean[name])

    return check


def logs(word: str) -> Check:
    """Make a check that something is logged, and what is learned stays the same."""

    def check(bench: Bench, arguments: Arguments) -> None:
        logger = CSVLogger(bench.folder)
        same(bench, {**arguments, "logger": logger, "log_every_n_steps": 1})
        assert any(word in name for row in _logged(logger) for name, value in row.items() if value)

    return check


def detects_spikes(bench: Bench, arguments: Arguments) -> None:
    """Change nothing until a loss is not finite, and stop there."""
    detector = arguments["callbacks"][0]
    seen: list[Tensor] = []
    judge = detector._is_spike
    detector._is_spike = lambda loss: seen.append(loss) or judge(loss)
    same(bench, arguments)
    with pytest.raises(AttributeError, match="running"):  # when a run is resumed
        detector.load_state_dict(detector.state_dict())
    assert len(seen) == 3  # all but the first, which is there to compare with
    module = bench.technique()
    module.load_base()
    for parameter in module.parameters():
        parameter.data.fill_(float("nan"))
    with pytest.raises(RuntimeError, match="spike detected"):
        bench.fit(module, callbacks=[stock.SpikeDetection()])


def with_bar(bench: Bench, arguments: Arguments) -> None:
    """Change nothing."""
    same(bench, {**arguments, "enable_progress_bar": True, "enable_model_summary": True})


def gets_metrics(bench: Bench, arguments: Arguments) -> None:
    """Be handed the loss of each step and the technique's arguments."""
    run = same(bench, {**arguments, "log_every_n_steps": 1})
    memory: Any = run.trainer.logger
    assert list(memory.metrics) == [0, 1, 2, 3]
    assert all("train/loss" in each for each in memory.metrics.values())
    assert memory.arguments["rank"] == run.module.hparams["rank"]


def writes_csv(bench: Bench, arguments: Arguments) -> None:
    """Write each loss and the arguments."""
    run = same(bench, {**arguments, "log_every_n_steps": 1})
    assert [row["step"] for row in _logged(run.trainer.logger)] == ["0", "1", "2", "3"]
    assert "learning_rate: 0.01" in Path(str(run.trainer.log_dir), "hparams.yaml").read_text()


def writes_events(bench: Bench, arguments: Arguments) -> None:
    """Write each loss."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = same(bench, {**arguments, "log_every_n_steps": 1})
    events = EventAccumulator(str(run.trainer.log_dir))
    events.Reload()
    assert [each.step for each in events.Scalars("train/loss")] == [0, 1, 2, 3]


def _logged(logger: Any) -> list[dict[str, str]]:
    with Path(logger.log_dir, "metrics.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))
