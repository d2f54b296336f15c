"""What is judged and written is the average; what is trained is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from safetensors.torch import load_file

from sdtune.callbacks.adapter_checkpoint import AdapterCheckpoint
from sdtune.data.style import StyleDataModule
from sdtune.techniques.pivotal_tuning import PivotalTuningModule
from sdtune.techniques.textual_inversion import TextualInversionModule
from tests.picture_folders import make_picture_folder
from tests.quiet_trainer import quiet_trainer
from tests.techniques.optimization.tiny_module import TinyModule, batches, fit, weights

pytest.importorskip("schedulefree")

SCHEDULE_FREE = "adamw_schedule_free"


class _Look(pl.Callback):
    """Keeps, after each step, the weights in training and their average by its formula."""

    def __init__(self) -> None:
        self.trained: list[dict] = []
        self.averages: list[dict] = []
        self.shown: list[dict] = []
        self.validated: list[dict] = []

    def on_train_batch_end(self, trainer: Any, module: TinyModule, *_: Any) -> None:
        [optimizer] = trainer.optimizers
        self.trained.append(weights(module))
        average = {
            # y = 0.9 x + 0.1 z
            name: (value.detach() - 0.1 * optimizer.state[value]["z"]) / 0.9
            for name, value in module.named_parameters()
        }
        self.averages.append(average)
        with module.averaged_weights():
            self.shown.append(weights(module))
            with module.averaged_weights():
                pass
            assert all(value.equal(weights(module)[key]) for key, value in self.shown[-1].items())
        assert all(value.equal(weights(module)[key]) for key, value in self.trained[-1].items())

    def on_validation_batch_end(self, trainer: Any, module: TinyModule, *_: Any) -> None:
        self.validated.append(weights(module))


def _same(one: dict, other: dict) -> bool:
    return all(value.equal(other[key]) for key, value in one.items())


def test_the_average_is_shown_validated_and_kept() -> None:
    module, look = TinyModule(SCHEDULE_FREE), _Look()
    trainer = fit(
        module,
        max_steps=4,
        callbacks=look,
        val_dataloaders=batches(1),
        num_sanity_val_steps=0,
    )
    for average, shown in zip(look.averages, look.shown, strict=True):
        torch.testing.assert_close(shown, average)
    assert all(_same(*pair) for pair in zip(look.shown, look.validated, strict=True))
    assert not _same(look.shown[-1], look.trained[-1])
    assert _same(weights(module), look.shown[-1])
    trainer.validate(module, batches(1), verbose=False)
    assert _same(weights(module), look.shown[-1])


def test_looking_leaves_no_trace_in_training() -> None:
    looked, alone = TinyModule(SCHEDULE_FREE), TinyModule(SCHEDULE_FREE)
    fit(looked, max_steps=5, callbacks=_Look(), val_dataloaders=batches(1))
    fit(alone, max_steps=5)
    assert _same(weights(looked), weights(alone))


@pytest.mark.parametrize("when", ["step", "validation", "end"])
def test_a_checkpoint_holds_both_and_resumes_bit_for_bit(when: str, tmp_path: Path) -> None:
    whole, look = TinyModule(SCHEDULE_FREE), _Look()
    loaders = {"val_dataloaders": batches(1)}
    fit(whole, max_steps=5, callbacks=look, **loaders)
    first, path = TinyModule(SCHEDULE_FREE), tmp_path / "last.ckpt"
    saving = {
        "step": [ModelCheckpoint(tmp_path, "last", every_n_train_steps=3)],
        "validation": [ModelCheckpoint(tmp_path, "last", every_n_epochs=1)],
        "end": [],
    }[when]
    trainer = fit(
        first, max_steps=3, callbacks=saving, enable_checkpointing=bool(saving), **loaders
    )
    if when == "end":
        trainer.save_checkpoint(path)
    path = max(tmp_path.glob("*.ckpt"), key=lambda each: each.stat().st_mtime)
    checkpoint = torch.load(path, weights_only=True)
    assert checkpoint["global_step"] == 3
    assert _same(checkpoint["state_dict"], look.shown[2])
    assert _same(checkpoint["current_model_state"], look.trained[2])
    second = TinyModule(SCHEDULE_FREE)
    fit(second, max_steps=5, ckpt_path=path, **loaders)
    assert _same(weights(second), weights(whole))
    loaded = TinyModule.load_from_checkpoint(path)
    assert _same(weights(loaded), look.shown[2])


def test_a_second_average_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no EMAWeightAveraging in `trainer.callbacks`"):
        fit(TinyModule(SCHEDULE_FREE), callbacks=EMAWeightAveraging())


def test_other_optimizers_have_no_average(tmp_path: Path) -> None:
    module = TinyModule("adamw")
    trainer = fit(module, max_steps=2)
    with module.averaged_weights():
        trainer.save_checkpoint(tmp_path / "last.ckpt")
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert "current_model_state" not in checkpoint


def _word(base: str) -> TextualInversionModule:
    return TextualInversionModule(
        "<disc>", "c d", base, num_vectors=2, embedding_norm="table", optimizer=SCHEDULE_FREE
    )


def _word_and_lora(base: str) -> PivotalTuningModule:
    """The word stops after two of the steps, and is then looked up."""
    return PivotalTuningModule(
        "<disc>",
        "c",
        base,
        rank=2,
        learning_rate=1e-2,
        embedding_norm="initializer",
        embedding_stop_fraction=0.4,
        optimizer=SCHEDULE_FREE,
    )


class _Keep(pl.Callback):
    """Writes the adapter of the average after step 2."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        if trainer.global_step == 2:
            trained = module.adapter().save(self.folder / "trained")
            with module.averaged_weights():
                path = module.adapter().save(self.folder / "average")
            assert not _same(load_file(path), load_file(trained))


@pytest.mark.slow
@pytest.mark.parametrize("build", [_word, _word_and_lora])
def test_a_technique_writes_its_average_and_is_not_disturbed(
    build: Callable[[str], Any], micro_sd: Path, tmp_path: Path
) -> None:
    data = {"folder": str(make_picture_folder(tmp_path / "discs")), "trigger": "<disc>"}

    def train(
        run: str, *callbacks: pl.Callback, ckpt_path: Path | None = None, **arguments: Any
    ) -> Any:
        module = build(str(micro_sd))
        trainer = quiet_trainer(
            max_steps=5,
            callbacks=list(callbacks),
            enable_checkpointing=any(isinstance(each, ModelCheckpoint) for each in callbacks),
            default_root_dir=tmp_path / run,
            **arguments,
        )
        pictures = StyleDataModule(
            **data, resolution=64, batch_size=1, validation_count=1, cache_dir=str(tmp_path)
        )
        trainer.fit(module, pictures, ckpt_path=ckpt_path, weights_only=True)
        return module

    checkpoints = ModelCheckpoint(tmp_path, "last", every_n_train_steps=4)
    watched = train(
        "watched",
        _Keep(tmp_path / "kept"),
        AdapterCheckpoint(2),
        checkpoints,
        val_check_interval=1,
    )
    alone = train("alone", limit_val_batches=0)
    resumed = train("resumed", ckpt_path=tmp_path / "last.ckpt", limit_val_batches=0)
    learned = watched.state_dict()
    assert _same(learned, alone.state_dict())
    assert _same(learned, resumed.state_dict())
    for path in (tmp_path / "kept/average").rglob("*.safetensors"):
        name = path.relative_to(tmp_path / "kept/average")
        written = tmp_path / "watched/adapter/step_000002" / name
        assert _same(load_file(path), load_file(written))
    [rows], [norms] = watched.words.rows(watched.model), watched.words._norms
    torch.testing.assert_close(rows.detach().norm(dim=1, keepdim=True), norms)
