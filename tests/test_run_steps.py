"""Steps are counted as the Trainer takes them, and rates follow them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.callbacks import GradientAccumulationScheduler

from sdtune._run_steps import total_steps
from sdtune.techniques.optimization.lr_schedules import rate_factor
from tests.techniques.optimization.tiny_module import TinyModule, batches, endless, fit, rates_of


def _falling(count: int, warmup_steps: int = 2) -> list[float]:
    return [1e-2 * rate_factor("cosine", step, warmup_steps, count) for step in range(count)]


@pytest.mark.parametrize(
    ("arguments", "steps"),
    [
        ({"max_steps": 7}, 7),
        ({"max_steps": -1, "max_epochs": 2}, 10),
        ({"max_steps": 7, "max_epochs": 1}, 5),
        ({"max_steps": 7, "max_epochs": 3}, 7),
        ({"max_steps": 4, "accumulate_grad_batches": 3}, 4),
        ({"max_steps": -1, "max_epochs": 3, "accumulate_grad_batches": 2}, 9),  # 3 of 5 batches
        ({"max_steps": -1, "max_epochs": 3, "accumulate_grad_batches": 9}, 3),
        ({"max_steps": 5, "max_epochs": 3, "accumulate_grad_batches": 2}, 5),
        ({"max_steps": -1, "max_epochs": 3, "limit_train_batches": 2}, 6),
        ({"max_steps": -1, "max_epochs": 3, "limit_train_batches": 0.6}, 9),
        (
            {
                "max_steps": -1,
                "max_epochs": 3,
                "limit_train_batches": 3,
                "accumulate_grad_batches": 2,
            },
            6,
        ),
        ({"max_steps": -1, "max_epochs": 4, "overfit_batches": 1}, 4),
        ({"max_steps": -1, "max_epochs": 2, "max_time": "00:01:00:00"}, 10),
    ],
    ids=str,
)
def test_the_schedule_is_of_the_steps_that_are_taken(arguments: dict[str, Any], steps: int) -> None:
    module = TinyModule(lr_schedule="cosine", warmup_steps=2)
    trainer = fit(module, batches(5), **arguments)
    assert total_steps(trainer) == trainer.global_step == steps
    assert rates_of(module) == _falling(steps)


@pytest.mark.parametrize(("max_steps", "steps"), [(-1, 5 + 3 + 3), (7, 7)])
def test_accumulation_that_changes_is_counted(max_steps: int, steps: int) -> None:
    module = TinyModule(lr_schedule="cosine", warmup_steps=2)
    callbacks = GradientAccumulationScheduler({1: 2})
    trainer = fit(module, batches(5), max_steps=max_steps, max_epochs=3, callbacks=callbacks)
    assert total_steps(trainer) == trainer.global_step == steps
    assert rates_of(module) == _falling(steps)


def test_data_of_unknown_length_end_with_max_steps() -> None:
    module = TinyModule(lr_schedule="cosine", warmup_steps=2)
    fit(module, endless(), max_steps=6)
    assert rates_of(module) == _falling(6)


@pytest.mark.parametrize("name", ["linear", "cosine"])
@pytest.mark.parametrize(
    "arguments",
    [
        {"max_epochs": -1},
        {"max_epochs": -1, "max_time": "00:01:00:00"},
        {"max_epochs": 2, "loader": endless()},
    ],
    ids=["endless", "time", "data"],
)
def test_a_schedule_without_an_end_is_refused_before_the_first_step(
    name: Any, arguments: dict[str, Any]
) -> None:
    module = TinyModule(lr_schedule=name)
    with pytest.raises(ValueError, match=f"say where `lr_schedule` `{name}` ends"):
        fit(module, max_steps=-1, **arguments)
    assert module.rates == []


def test_a_constant_rate_needs_no_end() -> None:
    module = TinyModule(warmup_steps=2)
    fit(module, max_steps=-1, max_epochs=-1, max_time={"seconds": 0.2})
    assert rates_of(module)[:4] == [0.0, 5e-3, 1e-2, 1e-2]


class _Recorder(TinyModule):
    """Leaves its rates in a file, since a process of its own trains it."""

    def on_train_end(self) -> None:
        path = Path(self.trainer.default_root_dir) / f"rates_{self.global_rank}.json"
        path.write_text(json.dumps([rates_of(self), total_steps(self.trainer)]))


@pytest.mark.slow
def test_two_processes_share_the_batches_of_an_epoch(tmp_path: Path) -> None:
    from torch.utils.data import DataLoader

    loader = DataLoader(batches(10).dataset, batch_size=1)  # 5 batches each, 3 steps an epoch
    module = _Recorder(lr_schedule="cosine", warmup_steps=2)
    fit(
        module,
        loader,
        max_steps=-1,
        max_epochs=2,
        accumulate_grad_batches=2,
        devices=2,
        strategy="ddp_fork",
        default_root_dir=tmp_path,
    )
    for rank in range(2):
        rates, total = json.loads((tmp_path / f"rates_{rank}.json").read_text())
        assert total == 6
        assert rates == _falling(6)
