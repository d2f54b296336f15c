"""Averages that a callback has not begun, or would never begin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging

from sdtune.callbacks.stop_after import StopAfter
from tests.techniques.optimization.tiny_module import TinyModule, batches, fit, weights

STARTS = "update_starting_at_step"
EVERY = "update_every_n_steps"
EPOCH = "update_starting_at_epoch"


class _Look(pl.Callback):
    """Keeps what is trained, and what is shown and validated in its place."""

    def __init__(self) -> None:
        self.trained: list[dict] = []
        self.shown: list[dict] = []
        self.validated: list[dict] = []

    def on_train_batch_end(self, trainer: Any, module: TinyModule, *_: Any) -> None:
        self.trained.append(weights(module))
        with module.averaged_weights():
            self.shown.append(weights(module))

    def on_validation_batch_end(self, trainer: Any, module: TinyModule, *_: Any) -> None:
        self.validated.append(weights(module))


def _same(one: dict, other: dict) -> bool:
    return all(value.equal(other[key]) for key, value in one.items())


def test_while_nothing_is_averaged_the_trained_weights_are_judged(tmp_path: Path) -> None:
    module, look = TinyModule(), _Look()
    average = EMAWeightAveraging(decay=0.5, update_starting_at_step=3)
    trainer = fit(
        module,
        max_steps=6,
        callbacks=[look, average, StopAfter(3)],
        loader=batches(10),
        val_dataloaders=batches(1),
        val_check_interval=1,
        num_sanity_val_steps=0,
    )
    assert len(look.trained) == 3
    for trained, shown, validated in zip(look.trained, look.shown, look.validated, strict=True):
        assert _same(trained, shown)
        assert _same(trained, validated)
    assert _same(weights(module), look.trained[-1])
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    kept = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert _same(kept["state_dict"], look.trained[-1])


def test_an_average_that_begins_late_is_of_what_came_then() -> None:
    module, look = TinyModule(), _Look()
    average = EMAWeightAveraging(decay=0.5, update_starting_at_step=2)
    fit(module, batches(10), max_steps=4, callbacks=[look, average])
    third, fourth = look.trained[2:]
    expected = {name: 0.5 * third[name] + 0.5 * fourth[name] for name in third}
    torch.testing.assert_close(weights(module), expected)


def test_a_callback_that_has_averaged_another_training_begins_anew() -> None:
    once, found = EMAWeightAveraging(decay=0.5), []
    for _ in range(2):
        module = TinyModule()
        fit(module, batches(10), max_steps=4, callbacks=once)
        found.append(weights(module))
    assert _same(*found)
    assert not _same(found[0], weights(TinyModule()))


@pytest.mark.parametrize(
    ("starts", "length", "named"),
    [
        ({STARTS: 6}, {"max_steps": 6}, "run's 6 steps, but with `update_starting_at_step` 6"),
        ({STARTS: 4, EVERY: 7}, {"max_steps": 6}, "`update_every_n_steps` 7"),
        ({STARTS: 8}, {"max_epochs": 2, "max_steps": -1}, "8 steps and 2 epochs"),
        ({EVERY: 0, EPOCH: 2}, {"max_epochs": 2, "max_steps": -1}, "`update_starting_at_epoch` 2"),
        ({EVERY: 0, EPOCH: 2}, {"max_steps": 8}, "8 steps and 2 epochs"),
    ],
)
def test_an_average_of_nothing_is_refused_by_name(
    starts: dict[str, int], length: dict[str, int], named: str
) -> None:
    module = TinyModule()
    before = weights(module)
    with pytest.raises(ValueError, match=r"EMAWeightAveraging in `trainer.callbacks` to") as error:
        fit(module, batches(4), callbacks=EMAWeightAveraging(**starts), **length)
    assert named in str(error.value)
    assert _same(weights(module), before)


@pytest.mark.parametrize(
    ("starts", "length"),
    [
        ({STARTS: 5}, {"max_steps": 6}),
        ({STARTS: 100, EPOCH: 1}, {"max_steps": 5}),
        ({EVERY: 0, EPOCH: 1}, {"max_epochs": 2, "max_steps": -1}),
    ],
)
def test_the_last_step_or_epoch_can_be_averaged(
    starts: dict[str, int], length: dict[str, int]
) -> None:
    average = EMAWeightAveraging(**starts)
    fit(TinyModule(), batches(4), callbacks=average, **length)
    assert int(average._average_model.n_averaged) == 1
