"""What must hold with single options of the Trainer."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from tests.conformance.bench import Bench, learned, small_lora, trace_of
from tests.conformance.checks import checkpoint_resumes, equal, same, trains
from tests.conformance.row import Arguments, Check


def two_processes(bench: Bench, arguments: Arguments) -> None:
    """Share an epoch: two batches each, at once, so two steps."""
    run = bench.fit(**arguments)  # the strategy brings back what a forked process has learned
    two = bench.fit(data=bench.data(batch_size=2)).learned
    for name, value in run.learned.items():
        torch.testing.assert_close(value, two[name])


def keeps_adapter_precise(bench: Bench, arguments: Arguments) -> None:
    """Train a step with a UNet of less bits, on which CPUs are slow, and what learns in float32."""
    run = trains(bench, {"limit_train_batches": 1, **arguments})
    kept = any(each.needs_float32 for each in run.module.learns)
    unet = run.module.model.unet
    frozen = {each.dtype for each in unet.parameters() if not each.requires_grad}
    half = {torch.float16, torch.bfloat16}
    assert not frozen or torch.float32 in frozen if kept else frozen <= half, frozen


def checkpoints_resume(bench: Bench, arguments: Arguments) -> None:
    """Write checkpoints within an epoch, and go on from the first."""
    folder = bench.folder / "own"
    writer = ModelCheckpoint(folder, filename="{step}", every_n_train_steps=2, save_top_k=-1)
    given = {**arguments, "callbacks": [*arguments.get("callbacks", []), writer]}
    run = bench.fit(**given, enable_checkpointing=True)
    assert equal(run.learned, bench.plain().learned)
    checkpoint_resumes(bench, run, folder / "step=2.ckpt")


def leaves_no_files(steps: int) -> Check:
    """Make a check that a run of so many steps writes nothing."""

    def check(bench: Bench, arguments: Arguments) -> None:
        before = _files(bench.folder)
        run = trains(bench, arguments)
        assert run.steps == steps
        assert _files(bench.folder) == before

    return check


def _files(folder: Path) -> set[Path]:
    return {each for each in folder.rglob("*") if each.is_file()}


def takes_at_least(steps: int) -> Check:
    """Make a check that a run stops at its minimum of steps, or at the end of that epoch."""

    def check(bench: Bench, arguments: Arguments) -> None:
        run = bench.fit(**arguments)
        assert steps <= run.steps <= steps + 2

    return check


def stops_early(bench: Bench, arguments: Arguments) -> None:
    """Stop by the clock, after a step at least."""
    run = trains(bench, {"max_epochs": 100, **arguments})
    assert run.steps < bench.plain().steps


def has_no_test(bench: Bench, arguments: Arguments) -> None:
    """Train as without it; have nothing to test."""
    run = same(bench, arguments)
    with pytest.raises(MisconfigurationException, match="test_step"):
        run.trainer.test(run.module, run.data)


def has_no_prediction(bench: Bench, arguments: Arguments) -> None:
    """Train as without it; have nothing to predict."""
    run = same(bench, arguments)
    with pytest.raises(MisconfigurationException, match="forward"):
        run.trainer.predict(run.module, run.data)


def overfits(batches: int) -> Check:
    """Make a check that every epoch has the same batches."""

    def check(bench: Bench, arguments: Arguments) -> None:
        run = trains(bench, arguments)
        epochs = arguments["max_epochs"]
        first = [indices for _, indices in run.trace.batches[:batches]]
        assert run.trace.batches == [
            (epoch, indices) for epoch in range(epochs) for indices in first
        ]

    return check


def keeps_order(bench: Bench, arguments: Arguments) -> None:
    """Show the same pictures in the same order as with one loader, and learn the same."""
    run = bench.fit(**arguments)
    plain = bench.fit(max_epochs=arguments["max_epochs"])
    assert run.trace.batches == plain.trace.batches
    assert len({tuple(run.trace.batches[each : each + 4]) for each in (0, 4, 8)}) == 3
    assert equal(run.learned, plain.learned)


def validates_in_mode(on: bool) -> Check:
    """Make a check of torch's mode in a validation before training, which stays what it is."""

    def check(bench: Bench, arguments: Arguments) -> None:
        trainer = bench.trainer(**arguments)
        module = bench.technique()
        trainer.validate(module, bench.data(), verbose=False)
        assert ("inference" in trace_of(trainer).modes) == on
        trainer.fit(module, bench.data())
        assert equal(learned(module), bench.plain().learned)

    return check


def accumulates(bench: Bench, arguments: Arguments) -> None:
    """Move what learns at each second batch alone; for a LoRA, as one batch of both would."""
    run = trains(bench, arguments)
    states = run.trace.learned
    assert run.steps == bench.plain().steps // 2
    assert len(states) == len(bench.plain().trace.learned)
    assert equal(states[1], states[2])
    assert not equal(states[0], states[1])
    if bench.build is small_lora:
        both = bench.fit(data=bench.data(batch_size=2)).learned
        for name, value in run.learned.items():
            torch.testing.assert_close(value, both[name])


def is_deterministic(bench: Bench, arguments: Arguments) -> None:
    """Train with torch's deterministic algorithms."""
    try:
        run = same(bench, arguments)
    finally:
        torch.use_deterministic_algorithms(False)
    assert "deterministic" in run.trace.modes


def detects_anomalies(bench: Bench, arguments: Arguments) -> None:
    """Train in torch's anomaly mode."""
    assert "anomaly" in same(bench, arguments).trace.modes


def writes(pattern: str) -> Check:
    """Make a check that files below the folder for runs are written; checkpoints are small."""

    def check(bench: Bench, arguments: Arguments) -> None:
        run = bench.fit(**arguments)
        found = list(bench.folder.glob(pattern))
        assert found
        for each in (path for path in found if path.suffix == ".ckpt"):
            state = torch.load(each, weights_only=True)["state_dict"]
            assert equal(state, run.learned)

    return check


def logs_to_both(bench: Bench, arguments: Arguments) -> None:
    """Log to two loggers."""
    run = bench.fit(**arguments, log_every_n_steps=1)
    assert len(run.trainer.loggers) == 2
    for each in run.trainer.loggers:
        assert [row["step"] for row in _logged(each)] == ["0", "1", "2", "3"]


def logs_steps(steps: list[int]) -> Check:
    """Make a check of the steps whose loss is logged."""

    def check(bench: Bench, arguments: Arguments) -> None:
        run = bench.fit(logger=CSVLogger(bench.folder), **arguments)
        assert [int(row["step"]) for row in _logged(run.trainer.logger)] == steps

    return check


def _logged(logger: Any) -> list[dict[str, str]]:
    path = Path(logger.log_dir, "metrics.csv")
    if not path.exists():
        return []
    with path.open(encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row.get("train/loss")]


def logs_arguments(on: bool) -> Check:
    """Make a check of the arguments in the logger's file."""

    def check(bench: Bench, arguments: Arguments) -> None:
        run = bench.fit(**arguments)
        text = Path(str(run.trainer.log_dir), "hparams.yaml").read_text(encoding="utf-8")
        assert (yaml.safe_load(text) or {}).get("rank") == (
            run.module.hparams["rank"] if on else None
        )

    return check


def shows_progress(bench: Bench, arguments: Arguments) -> None:
    """Show the loss in the bar."""
    run = same(bench, arguments)
    bar = run.trainer.progress_bar_callback
    assert "train/loss" in bar.get_metrics(run.trainer, run.module)  # type: ignore[union-attr]


def profiles(name: str) -> Check:
    """Make a check that a profiler's file names the training step."""

    def check(bench: Bench, arguments: Arguments) -> None:
        same(bench, arguments)
        assert "training_step" in Path(name).read_text(encoding="utf-8")

    return check
