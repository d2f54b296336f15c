"""EMA of what learns, by Lightning's own callback."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, StochasticWeightAveraging
from safetensors.torch import load_file
from torch import Tensor

from sdtune.adapters.adapter_set import AdapterSet
from sdtune.callbacks.adapter_checkpoint import AdapterCheckpoint
from sdtune.callbacks.resume_checkpoint import ResumeCheckpoint
from sdtune.data.style import StyleDataModule
from sdtune.techniques.base import DiffusionFineTuningModule
from sdtune.techniques.dreambooth import DreamBoothModule
from sdtune.techniques.lora_style import LoRAStyleModule
from sdtune.techniques.textual_inversion import TextualInversionModule
from tests.equal_states import assert_equal_states
from tests.picture_folders import make_picture_folder
from tests.quiet_trainer import quiet_trainer

BUILD: dict[str, Any] = {
    "lora": lambda base: LoRAStyleModule(
        base, rank=2, learning_rate=1e-2, text_encoder_learning_rate=1e-2
    ),
    "words": lambda base: TextualInversionModule("<disc>", "c", base, learning_rate=1e-1),
    "words of one norm": lambda base: TextualInversionModule(
        "<disc>", "c", base, learning_rate=1e-1, embedding_norm="table"
    ),
    "whole UNet": lambda base: DreamBoothModule(
        base, full_finetune=True, prior_loss_weight=0, learning_rate=1e-3
    ),
}


class Watch(pl.Callback):
    """Keeps what is trained after every step, and what is validated."""

    def __init__(self) -> None:
        self.trained: list[dict[str, Tensor]] = []
        self.validated: list[dict[str, Tensor]] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *rest: Any) -> None:
        self.trained.append(_state(pl_module))

    def on_validation_batch_start(self, trainer: Any, pl_module: Any, *rest: Any) -> None:
        self.validated.append(_state(pl_module))


def _state(module: DiffusionFineTuningModule) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def _fit(
    module: DiffusionFineTuningModule,
    tmp_path: Path,
    run: str,
    max_steps: int = 4,
    resume: str | None = None,
    callbacks: tuple[pl.Callback, ...] = (),
    **arguments: Any,
) -> Path:
    folder = tmp_path / "discs"
    if not folder.exists():
        make_picture_folder(folder, count=6)
    data = StyleDataModule(
        str(folder),
        trigger="<disc>",
        resolution=64,
        batch_size=2,
        validation_count=2,
        cache_dir=str(tmp_path / "cache"),
    )
    trainer = quiet_trainer(
        max_steps=max_steps,
        default_root_dir=tmp_path / run,
        # those that write stand before what averages: no order of a recipe may matter
        callbacks=[*callbacks, ResumeCheckpoint(3), EMAWeightAveraging(decay=0.5)],
        enable_checkpointing=True,
        num_sanity_val_steps=0,
        **arguments,
    )
    last = tmp_path / f"{resume}/checkpoints/last.ckpt"
    trainer.fit(module, data, ckpt_path=last if resume else None)
    return tmp_path / run / "checkpoints" / "last.ckpt"


def _load(path: Path) -> dict[str, Any]:
    return torch.load(path, weights_only=True)


def _average(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    average = states[0]
    for state in states[1:]:
        average = {name: 0.5 * average[name] + 0.5 * state[name] for name in state}
    return average


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(build, id=name, marks=[] if "words" in name else [pytest.mark.slow])
        for name, build in BUILD.items()
    ],
)
def test_a_resumed_average_equals_an_uninterrupted_one(
    build: Any, micro_sd: Path, tmp_path: Path
) -> None:
    whole = build(str(micro_sd))
    expected = _load(_fit(whole, tmp_path, "whole"))
    # two steps an epoch: one run ends inside of the second, where no checkpoint was asked for
    path = _fit(build(str(micro_sd)), tmp_path, "first", max_steps=1)
    small = _load(path)
    learned = set(whole.state_dict())
    for key in ("state_dict", "current_model_state"):
        assert set(small[key]) == learned
    resumed = build(str(micro_sd))
    found = _load(_fit(resumed, tmp_path, "second", resume="first"))
    for key in ("state_dict", "current_model_state", "averaging_state"):
        assert set(found[key]) == set(expected[key])
        for name, value in expected[key].items():
            assert torch.equal(value, found[key][name]), (key, name)
    assert not all(
        torch.equal(value, expected["current_model_state"][name])
        for name, value in expected["state_dict"].items()
    )
    for name, value in whole.state_dict().items():  # what training ends with is the average
        assert torch.equal(value, expected["state_dict"][name]), name
    assert_equal_states(whole, resumed)


@pytest.mark.slow
def test_training_goes_on_from_what_is_trained_and_the_average_is_judged(
    micro_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AdapterSet, "verify", lambda *_: 0.0)  # the files are read below
    watch = Watch()
    adapters = AdapterCheckpoint(every_n_steps=1)
    module = BUILD["lora"](str(micro_sd))
    module.load_base()
    frozen = {name: value.clone() for name, value in module.model.state_dict().items()}
    _fit(module, tmp_path, "run", callbacks=(watch, adapters), val_check_interval=1)
    plain = Watch()
    quiet = BUILD["lora"](str(micro_sd))
    data = StyleDataModule(
        str(tmp_path / "discs"),
        trigger="<disc>",
        resolution=64,
        batch_size=2,
        validation_count=2,
        cache_dir=str(tmp_path / "cache"),
    )
    quiet_trainer(max_steps=4, callbacks=[plain], limit_val_batches=0).fit(quiet, data)
    for step in range(4):
        for name, value in plain.trained[step].items():
            assert torch.equal(value, watch.trained[step][name]), (step, name)
        average = _average(watch.trained[: step + 1])
        for name, value in average.items():
            torch.testing.assert_close(watch.validated[step][name], value)
        folder = tmp_path / "run/adapter" / f"step_{step + 1:06d}"
        files = load_file(folder / "pytorch_lora_weights.safetensors")
        scale = module.hparams["alpha"] / module.hparams["rank"]  # which is in the file's matrices
        wanted = scale * sum(float(v.abs().sum()) for n, v in average.items() if "lora_B" in n)
        written = sum(float(v.abs().sum()) for n, v in files.items() if "up." in n)
        assert written == pytest.approx(wanted, rel=1e-5)
    final = load_file(next((tmp_path / "run/adapter").glob("*lora_weights*")))
    for name, value in files.items():
        assert torch.equal(value, final[name])
    learned = {name.removeprefix("model.") for name in module.state_dict()}
    for name, value in module.model.state_dict().items():
        assert name in learned or torch.equal(value, frozen[name]), name


@pytest.mark.slow
def test_an_average_keeps_the_norm_and_looking_at_it_changes_nothing(
    micro_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AdapterSet, "verify", lambda *_: 0.0)  # the files are read below
    module, watch = BUILD["words of one norm"](str(micro_sd)), Watch()
    adapters = AdapterCheckpoint(every_n_steps=1)
    path = _fit(module, tmp_path, "run", callbacks=(watch, adapters), val_check_interval=1)
    (name,) = module.state_dict()
    (wanted,) = module.words._norms
    average = _average(watch.trained)[name]
    found = _load(path)
    torch.testing.assert_close(found["uncorrected_average"][name], average)
    assert average.norm() < 0.99 * wanted
    expected = average * wanted / average.norm()
    tables = (tmp_path / "run/adapter").rglob("*.safetensors")
    files = [load_file(each) for each in tables]
    written = [value for each in files for value in each.values()]
    assert len(written) == 5  # of each step, and the last
    judged = [each[name] for each in watch.validated]
    for rows in [*judged, *written, found["state_dict"][name]]:
        torch.testing.assert_close(rows.norm(), wanted.squeeze())
    for rows in (found["state_dict"][name], module.state_dict()[name], judged[-1]):
        torch.testing.assert_close(rows, expected)
    quiet, alone = BUILD["words of one norm"](str(micro_sd)), Watch()
    unseen = _load(_fit(quiet, tmp_path, "quiet", callbacks=(alone,), limit_val_batches=0))
    assert torch.equal(alone.trained[-1][name], watch.trained[-1][name])
    assert torch.equal(unseen["uncorrected_average"][name], found["uncorrected_average"][name])


def test_a_copy_shares_the_frozen_weights_and_no_other(micro_sd: Path) -> None:
    module = BUILD["lora"](str(micro_sd))
    module.load_base()
    copied = copy.deepcopy(module)
    learned = {name.removeprefix("model.") for name in module.state_dict()}
    pairs = zip(module.model.named_parameters(), copied.model.named_parameters(), strict=True)
    for (name, one), (_, other) in pairs:
        assert (one.data_ptr() == other.data_ptr()) == (name not in learned), name
    for one, other in zip(module.model.buffers(), copied.model.buffers(), strict=True):
        assert one.data_ptr() == other.data_ptr()
    assert [name for name, _ in copied.named_parameters()] == list(module.state_dict())
    assert sum(1 for _ in copied.parameters()) == len(learned)
    drawn = [each.generate(["a disc"], [0], num_inference_steps=1) for each in (module, copied)]
    assert torch.equal(*drawn)


def test_what_cannot_average_a_technique_is_refused_by_name(micro_sd: Path, tmp_path: Path) -> None:
    data = StyleDataModule(str(make_picture_folder(tmp_path / "discs")), resolution=64)
    module = LoRAStyleModule(str(micro_sd), rank=2)
    trainer = quiet_trainer(max_epochs=1, callbacks=[StochasticWeightAveraging(1e-3)])
    with pytest.raises(ValueError, match="to hold no StochasticWeightAveraging"):
        trainer.fit(module, data)
    assert not hasattr(module, "model")
