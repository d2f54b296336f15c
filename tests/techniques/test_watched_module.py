"""What is not finite is never written, and training stops or goes back."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from sdtune.callbacks.adapter_checkpoint import AdapterCheckpoint
from sdtune.callbacks.resume_checkpoint import ResumeCheckpoint
from sdtune.data.style import StyleDataModule
from sdtune.techniques.lora_style import LoRAStyleModule
from sdtune.techniques.number_watch import NotFiniteError
from tests.fast_part import some_fast
from tests.picture_folders import make_picture_folder
from tests.quiet_trainer import quiet_trainer


class Poison(Callback):
    """Makes a weight, or a gradient, not a number at one step."""

    def __init__(self, step: int, what: str = "weight") -> None:
        self.step = step
        self.what = what
        self.good: dict[int, dict[str, torch.Tensor]] = {}

    def on_train_batch_start(self, trainer: Any, module: Any, *_: Any) -> None:
        self.good[trainer.global_step] = {k: v.clone() for k, v in module.state_dict().items()}
        if trainer.global_step + 1 == self.step and self.what == "weight":
            next(module.parameters()).data.fill_(math.nan)

    def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any) -> None:
        if trainer.global_step + 1 == self.step and self.what == "gradient":
            next(module.parameters()).grad.fill_(math.inf)


@pytest.fixture
def data(tmp_path: Path) -> StyleDataModule:
    folder = make_picture_folder(tmp_path / "discs", count=4)
    return StyleDataModule(
        str(folder), resolution=64, batch_size=2, validation_count=0, cache_dir=str(tmp_path)
    )


def train(base: Path, data: Any, folder: Path, *callbacks: Callback, **arguments: Any) -> Any:
    options = {key: arguments.pop(key) for key in ("max_steps", "ckpt_path") if key in arguments}
    module = LoRAStyleModule(str(base), rank=2, learning_rate=1e-3, **arguments)
    trainer = quiet_trainer(
        max_steps=options.get("max_steps", 6),
        log_every_n_steps=2,
        default_root_dir=str(folder),
        callbacks=list(callbacks),
        enable_checkpointing=any(isinstance(each, ModelCheckpoint) for each in callbacks),
    )
    trainer.fit(module, data, ckpt_path=options.get("ckpt_path"))
    return module


@pytest.mark.parametrize("what", some_fast(["weight", "gradient"], ["gradient"]))
def test_training_stops_and_what_was_written_before_is_whole(
    micro_sd: Path, data: StyleDataModule, tmp_path: Path, what: str
) -> None:
    folder, poison = tmp_path / "run", Poison(5, what)
    stock = ModelCheckpoint(folder / "stock", every_n_train_steps=2, save_top_k=-1)
    kept = (AdapterCheckpoint(every_n_steps=3), ResumeCheckpoint(2), stock)
    named = "loss" if what == "weight" else "gradient"
    with pytest.raises(NotFiniteError, match=rf"The {named} of step 5 .*disc_\d+.png at timestep"):
        train(micro_sd, data, folder, poison, *kept)
    state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert state["global_step"] == 4
    assert all(value.isfinite().all() for value in state["state_dict"].values())
    assert [each.name for each in (folder / "adapter").iterdir()] == ["step_000003"]
    assert len(list((folder / "stock").iterdir())) == 2


@pytest.mark.slow
def test_it_goes_back_at_half_the_rate_and_a_resumed_run_too(
    micro_sd: Path, data: StyleDataModule, tmp_path: Path
) -> None:
    poison = Poison(5, "gradient")
    with pytest.warns(UserWarning, match=r"gradient of step 5 .* set back to that of step 4.*1 of"):
        module = train(
            micro_sd, data, tmp_path, poison, ResumeCheckpoint(2), roll_backs=1, max_steps=6
        )
    # the check of step 6 finds what step 5 has done
    assert module.trainer.optimizers[0].param_groups[0]["lr"] == 5e-4
    state = module.state_dict()
    assert all(torch.equal(state[name], value) for name, value in poison.good[4].items())
    resumed = train(
        micro_sd, data, tmp_path, ResumeCheckpoint(2), roll_backs=1, max_steps=8,
        ckpt_path=tmp_path / "checkpoints" / "last.ckpt",
    )  # fmt: skip
    assert resumed.trainer.optimizers[0].param_groups[0]["lr"] == 5e-4
    assert all(value.isfinite().all() for value in resumed.state_dict().values())
    assert any(not torch.equal(v, poison.good[4][k]) for k, v in resumed.state_dict().items())
    with pytest.raises(NotFiniteError, match=r"went back 1 of 1 times"):
        train(
            micro_sd, data, tmp_path, Poison(9, "gradient"), roll_backs=1, max_steps=10,
            ckpt_path=tmp_path / "checkpoints" / "last.ckpt",
        )  # fmt: skip


@pytest.mark.filterwarnings("ignore:The gradient of step")
def test_each_fit_goes_back_as_often_and_counts_what_it_keeps(
    micro_sd: Path, data: StyleDataModule
) -> None:
    module = LoRAStyleModule(str(micro_sd), rank=2, roll_backs=1)
    for step, kept in ((4, 3), (2, 2)):  # found at steps 4 and 2, gone back to 2 and 0
        trainer = quiet_trainer(
            max_steps=kept + 2, log_every_n_steps=2, callbacks=[Poison(step, "gradient")]
        )
        trainer.fit(module, data)
        assert module._roll_backs_taken == 1
        assert module.steps_kept == kept
    resumed = LoRAStyleModule(str(micro_sd), rank=2, roll_backs=1)
    resumed.on_load_checkpoint(trainer._checkpoint_connector.dump_checkpoint())
    assert resumed._roll_backs_taken == 1
    assert resumed._steps_undone == module._steps_undone == 2


def test_watching_changes_nothing_and_so_does_keeping_a_good_state(
    micro_sd: Path, data: StyleDataModule, tmp_path: Path
) -> None:
    plain, keeping = (
        train(micro_sd, data, tmp_path / str(n), roll_backs=n, max_steps=3).state_dict()
        for n in (0, 2)
    )
    assert all(torch.equal(plain[name], keeping[name]) for name in plain)


def test_a_checkpoint_that_anyone_writes_is_refused(micro_sd: Path, data: StyleDataModule) -> None:
    module = LoRAStyleModule(str(micro_sd), rank=2)
    trainer = quiet_trainer(max_steps=1)
    trainer.fit(module, data)
    optimizer = trainer.optimizers[0]
    next(iter(optimizer.state.values()))["exp_avg"].fill_(math.inf)
    with pytest.raises(NotFiniteError, match=r"`optimizer_states.0.state.\d+.exp_avg`"):
        trainer.save_checkpoint("never")
    assert not Path("never").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"roll_backs": -1}, "`roll_backs` to be 0 or more, but got -1"),
        ({"roll_backs": 2, "optimizer": "adafactor_relative_step"}, "which sets its rates itself"),
    ],
)
def test_what_cannot_go_back_is_refused(arguments: dict, message: str, micro_sd: Path) -> None:
    with pytest.raises(ValueError, match=message):
        LoRAStyleModule(str(micro_sd), **arguments)
