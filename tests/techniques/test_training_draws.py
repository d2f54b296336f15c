"""What is drawn for a sample, where loaders are not sdtune's, and loops not the Trainer's."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import lightning.pytorch as pl
import pytest
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from sdtune.callbacks.picture_losses import PictureLosses
from sdtune.functional import Stream, counter_randint, counter_randn
from sdtune.techniques.lora_style import LoRAStyleModule
from sdtune.techniques.training_draws import TrainingDraws
from tests.quiet_trainer import quiet_trainer
from tests.techniques.small_lora import small_batch, small_module


class _Seen(pl.Callback):
    """Notes the timesteps of each step's samples."""

    def __init__(self) -> None:
        self.timesteps: list[list[int]] = []

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, *_: Any) -> None:
        self.timesteps.append(outputs["timesteps"].tolist())


def _repeating(count: int, *order: int) -> DataLoader[Any]:
    """An ordinary loader of two samples a batch, which shows some again and again."""
    batch = small_batch()
    samples = [{"moments": batch["moments"][i], "caption": "a disc", "index": i} for i in (0, 1)]
    return DataLoader([samples[i] for i in order * count], batch_size=2)  # type: ignore[arg-type]


def _trainer(own_loader: bool, epoch: int, batch: int) -> pl.Trainer:
    loader = SimpleNamespace(sampler=SimpleNamespace(shows_each_index_once=own_loader))
    loop = SimpleNamespace(epoch_loop=SimpleNamespace(batch_idx=batch))
    trainer = SimpleNamespace(current_epoch=epoch, train_dataloader=loader, fit_loop=loop)
    return cast(pl.Trainer, trainer)


@pytest.mark.parametrize("batch", [0, 7])
def test_where_an_index_is_shown_once_the_batch_counts_nothing(batch: int) -> None:
    draws = TrainingDraws(42, [3, 5], _trainer(True, 2, batch), 0)
    expected = counter_randint(0, 1000, 42, Stream.TIMESTEP, 2, [3, 5])
    assert draws.timesteps(1000).equal(expected)
    assert draws.normal((4,), Stream.NOISE).equal(counter_randn((4,), 42, Stream.NOISE, 2, [3, 5]))


def test_elsewhere_each_showing_is_drawn_anew_and_the_first_as_ever() -> None:
    drawn = [
        row.tolist()
        for epoch in (0, 1)
        for batch in range(3)
        for row in TrainingDraws(42, [3, 3, 5], _trainer(False, epoch, batch), 0).normal((2,), 0)
    ]
    assert len({tuple(row) for row in drawn}) == len(drawn)
    expected = counter_randn((2,), 42, Stream.NOISE, 0, [3, 5])
    assert [drawn[0], drawn[2]] == expected.tolist()


def test_a_picture_that_a_loader_shows_again_is_noised_anew_and_a_resume_repeats_it(
    micro_sd: Path, tmp_path: Path
) -> None:
    def fit(*callbacks: pl.Callback, **arguments: Any) -> list[list[int]]:
        seen = _Seen()
        trainer = quiet_trainer(
            max_steps=5, callbacks=[seen, *callbacks], enable_checkpointing=bool(callbacks)
        )
        module = LoRAStyleModule(str(micro_sd), rank=2, dropout=0.1)
        trainer.fit(module, _repeating(3, 0, 0), **arguments)
        return seen.timesteps

    keeper = ModelCheckpoint(tmp_path, every_n_train_steps=2, save_top_k=-1, filename="{step}")
    whole = fit(keeper)
    drawn = [timestep for step in whole for timestep in step]
    assert len(set(drawn)) == len(drawn) == 10
    assert fit(ckpt_path=tmp_path / "step=2.ckpt") == whole[2:]


def test_a_loop_of_one_s_own_draws_anew_at_each_call(micro_sd: Path) -> None:
    module = small_module(micro_sd)
    (losses, first), (_, second) = (module.training_losses(small_batch()) for _ in range(2))
    assert not set(first.tolist()) & set(second.tolist())
    again, timesteps = module.training_losses(small_batch(), number=0)
    assert timesteps.equal(first)
    assert again.equal(losses)
    assert module.training_losses(small_batch())[1].equal(second), "the calls count on from there"
    assert module._watch._batches == []


def test_validation_of_an_ordinary_loader_is_the_same_each_time(
    micro_sd: Path, tmp_path: Path
) -> None:
    module = LoRAStyleModule(str(micro_sd), rank=2)
    found = [
        quiet_trainer(default_root_dir=tmp_path).validate(
            module, _repeating(2, 0, 1), verbose=False
        )
        for _ in range(2)
    ]
    assert found[0] == found[1]


def test_the_losses_of_pictures_without_names_go_by_their_index(
    micro_sd: Path, tmp_path: Path
) -> None:
    module = LoRAStyleModule(str(micro_sd), rank=2)
    trainer = quiet_trainer(max_steps=2, callbacks=[PictureLosses()], default_root_dir=tmp_path)
    trainer.fit(module, _repeating(2, 0, 1))
    pictures = json.loads((tmp_path / "picture_losses.json").read_text())["pictures"]
    assert {name: each["count"] for name, each in pictures.items()} == {"0": 2, "1": 2}
