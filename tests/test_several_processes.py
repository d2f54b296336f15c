"""What two processes do is what one does; `python -m tests.several_processes` measures it all."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch import Tensor

from sdtune.adapters.adapter_set import AdapterSet
from sdtune.callbacks.adapter_checkpoint import AdapterCheckpoint
from sdtune.callbacks.evaluation import EvaluationCallback
from sdtune.callbacks.picture_losses import PictureLosses
from sdtune.callbacks.resume_checkpoint import ResumeCheckpoint
from sdtune.callbacks.sample_grid import SampleGrid
from sdtune.callbacks.stop_signals import Stopped
from sdtune.captioning.registry import CAPTIONERS
from sdtune.data.subject import SubjectDataModule
from sdtune.run_folder.record import Evaluation
from sdtune.techniques.textual_inversion import TextualInversionModule
from tests.picture_folders import make_picture_folder
from tests.quiet_trainer import quiet_trainer
from tests.several_processes import PICTURES, TOGETHER, compare
from tests.split_model import in_processes
from tests.techniques.every_technique import TECHNIQUES, data_for

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")


@pytest.fixture(scope="module")
def seven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_picture_folder(tmp_path_factory.mktemp("data") / "seven", PICTURES)


@pytest.fixture(scope="module")
def whole(micro_sd: Path, seven: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What one process learns in eight steps."""
    return _learned_in(tmp_path_factory.mktemp("whole"), micro_sd, seven, 1, 8)


@pytest.mark.slow
def test_two_processes_learn_what_one_does(micro_sd, seven, tmp_path):
    """Of seven pictures in batches of four, so that the last of an epoch is uneven."""
    found = compare("textual_inversion", "sgd_nesterov", micro_sd, seven, tmp_path)
    assert found.moved > 1e-4
    assert found.largest < 1e-6 * found.moved + 1e-8
    assert found.losses < 1e-6
    assert found.curves == {"train/loss"}


@pytest.mark.slow
@pytest.mark.parametrize("technique", ["dreambooth", "multi_concept"])
def test_two_processes_learn_what_one_does_by_every_part(technique, micro_sd, seven, tmp_path):
    """By a gradient that is not scaled, as closely as float32 adds up."""
    plain = compare(technique, "sgd_nesterov", micro_sd, seven, tmp_path)
    assert plain.moved > 3e-3
    assert plain.largest < 2e-5 * plain.moved
    assert plain.losses < 1e-6


@pytest.mark.slow
def test_two_processes_learn_nearly_what_one_does_by_a_scaled_gradient(micro_sd, seven, tmp_path):
    scaled = compare("lora_text_encoder", "adamw", micro_sd, seven, tmp_path)
    assert scaled.largest < 1e-3 * scaled.moved  # a gradient near zero is divided by itself


@pytest.mark.slow
@pytest.mark.parametrize("processes", [(1, 2), (2, 1)])
def test_a_run_goes_on_in_other_processes_as_if_they_had_begun_it(
    processes, whole, micro_sd, seven, tmp_path
):
    """Of batches that are as large in all: inside an epoch, to the sum's last digits."""
    first, then = processes
    _learned_in(tmp_path / "parts", micro_sd, seven, first, 3)
    resumed = _learned_in(tmp_path / "parts", micro_sd, seven, then, 8, resume=True)
    assert resumed.keys() == whole.keys()
    apart = max(float((resumed[name] - whole[name]).abs().max()) for name in whole)
    assert apart < 1e-7
    [note] = json.loads((tmp_path / "parts/run/resumes.json").read_text())["resumes"]
    changes = {each["key"]: (each["before"], each["now"]) for each in note["changes"]}
    assert changes["trainer.devices"] == tuple(map(str, processes))


@pytest.mark.slow
def test_other_batches_go_on_at_the_end_of_an_epoch_alone(micro_sd, seven, tmp_path):
    """Of two steps; inside one the place in it would be another."""
    _learned_in(tmp_path / "inside", micro_sd, seven, 2, 3)
    with pytest.raises(ValueError, match="times the number of processes to be 4, but got 2"):
        _learned_in(tmp_path / "inside", micro_sd, seven, 1, 8, size=2, resume=True)
    _learned_in(tmp_path / "end", micro_sd, seven, 2, 2)
    assert _learned_in(tmp_path / "end", micro_sd, seven, 1, 8, size=2, resume=True)


def _learned_in(
    folder: Path,
    base: Path,
    pictures: Path,
    processes: int,
    steps: int,
    size: int | None = None,
    resume: bool = False,
    **more: Any,
) -> dict[str, Tensor]:
    module = TextualInversionModule(
        "<disc>", "c", str(base), learning_rate=1e-2, optimizer="sgd_nesterov"
    )
    size = TOGETHER // processes if size is None else size
    data = data_for(module, pictures, batch_size=size, cache_dir=folder / "cache")
    several: dict[str, Any] = {"devices": 2, "strategy": "ddp_fork"} if processes == 2 else {}
    checkpoint = folder / "run" / "checkpoints" / "last.ckpt"
    options = {"callbacks": [ResumeCheckpoint()], **several, **more}
    quiet_trainer(
        max_steps=steps,
        max_epochs=-1,
        enable_checkpointing=True,
        logger=TensorBoardLogger(folder, "run", "", default_hp_metric=False),
        num_sanity_val_steps=0,
        **options,
    ).fit(module, data, ckpt_path=checkpoint if resume else None, weights_only=True)
    return torch.load(checkpoint, weights_only=True)["state_dict"]


def test_tasks_of_slurm_stop_after_one_step_when_one_gets_sigterm(micro_sd, seven, tmp_path):
    """With a checkpoint and 143; the job is not queued again, which is for SIGUSR1."""
    said = _asked_to_stop(tmp_path, micro_sd, seven, "on_train_batch_start", step=2)
    checkpoint = tmp_path / "run/checkpoints/last.ckpt"
    assert said == [f"143: Training stopped after step 3, kept in {checkpoint}."] * 2
    assert torch.load(checkpoint, weights_only=True)["global_step"] == 3


@pytest.mark.parametrize("hook", ["on_fit_start", "on_train_start"])
def test_no_process_waits_for_one_that_gets_sigterm_before_training(
    hook, micro_sd, seven, tmp_path
):
    said = _asked_to_stop(tmp_path, micro_sd, seven, hook)
    assert said == ["143: Training stopped before its first step."] * 2
    assert not (tmp_path / "run/checkpoints").exists()


def _asked_to_stop(folder: Path, base: Path, pictures: Path, hook: str, step: int = 0) -> list[str]:
    """Train in two tasks of SLURM, of which the second is asked to stop; return what both say."""
    job = {"SLURM_JOB_ID": "4242", "SLURM_JOB_NAME": "turtles", "SLURM_NTASKS": "2"}
    job |= {"SLURM_NTASKS_PER_NODE": "2", "SLURM_NNODES": "1", "SLURM_NODEID": "0"}
    job |= {"SLURM_NODELIST": "localhost", "SLURM_JOB_NODELIST": "localhost"}

    def begin() -> None:
        callbacks = [_EndsItself(hook, step), ResumeCheckpoint(every_n_steps=100)]
        with pytest.raises(Stopped) as stopped:
            _learned_in(folder, base, pictures, 2, 8, strategy="ddp", callbacks=callbacks)
        story = f"{stopped.value.code}: {stopped.value}"
        (folder / os.environ["SLURM_PROCID"]).write_text(story)

    in_processes(2, begin, job)
    return [(folder / rank).read_text() for rank in "01"]


class _EndsItself(pl.Callback):
    """Sends SIGTERM to the second process, as SLURM may to one task first."""

    def __init__(self, hook: str, step: int) -> None:
        self.step = step
        setattr(self, hook, self._end)

    def _end(self, trainer: pl.Trainer, *_: Any, **__: Any) -> None:
        if trainer.global_rank == 1 and trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.slow
def test_pictures_and_scores_of_two_processes_are_those_of_one(
    micro_sd, seven, tmp_path, monkeypatch
):
    monkeypatch.setattr(AdapterSet, "verify", lambda *_: 0.0)  # the pictures are of what is trained
    one, two = (_evaluated(micro_sd, seven, tmp_path / str(n), n) for n in (1, 2))
    base, base_of_two = (Evaluation.load(run).checkpoints[0] for run in (one, two))
    assert base.per_sample == base_of_two.per_sample
    assert base.figures == base_of_two.figures
    tuned, tuned_of_two = (Evaluation.load(run).checkpoints[-1] for run in (one, two))
    assert tuned.step == tuned_of_two.step == 4
    for name, values in tuned.per_sample.items():
        assert tuned_of_two.per_sample[name] == pytest.approx(values, abs=0.02), name
    for place in ("samples/rows/base.png", "evaluation/base/prompt_02_seed_1.png"):
        assert (one / place).read_bytes() == (two / place).read_bytes()
    of_one, of_two = (json.loads((run / "picture_losses.json").read_text()) for run in (one, two))
    assert _counts(of_one) == _counts(of_two)
    assert sum(_counts(of_one)) == PICTURES + TOGETHER + 3


def _evaluated(base: Path, pictures: Path, folder: Path, processes: int) -> Path:
    module = TECHNIQUES["lora"](str(base))
    data = data_for(module, pictures, batch_size=TOGETHER // processes, cache_dir=folder / "cache")
    prompts = ["a red disc", "a green disc", "a blue disc"]
    how: dict[str, Any] = {"every_n_steps": 4, "num_inference_steps": 1, "seeds": [0, 1]}
    callbacks = [
        SampleGrid(prompts, **how),
        EvaluationCallback(prompts, style_pictures=2, cache_dir=folder / "cache", **how),
        AdapterCheckpoint(every_n_steps=4),
        PictureLosses(),
    ]
    several = {"devices": 2, "strategy": "ddp_fork"} if processes == 2 else {}
    quiet_trainer(
        max_steps=4,
        callbacks=callbacks,
        logger=TensorBoardLogger(folder, "run", "", default_hp_metric=False),
        num_sanity_val_steps=0,
        **several,
    ).fit(module, data)
    return folder / "run"


def _counts(losses: Any) -> list[int]:
    return [losses["pictures"][name]["count"] for name in sorted(losses["pictures"])]


@pytest.mark.slow
def test_captions_are_made_by_the_first_process_and_told_by_all(
    micro_sd, seven, tmp_path, monkeypatch
):
    photos = tmp_path / "photos"
    shutil.copytree(seven, photos, ignore=shutil.ignore_patterns("*.txt"))

    class Captioner:
        def describe(self, images):
            with (tmp_path / "describing").open("a") as file:
                file.write(f"{torch.distributed.get_rank()} {len(images)}\n")
            return ["a toy on a table"] * len(images)

    class Told(Callback):
        def on_train_start(self, trainer, pl_module):
            told = [each.caption for each in trainer.datamodule.train_dataset.pictures]
            path = tmp_path / f"told_{trainer.global_rank}.json"
            path.write_text(json.dumps(told))

    monkeypatch.setitem(CAPTIONERS, "blip", lambda settings: Captioner())
    data = SubjectDataModule(
        photos, class_noun="robot", resolution=64, batch_size=2, cache_dir=tmp_path / "cache"
    )
    module = TextualInversionModule(base=str(micro_sd), initializer_token="c")
    run = {"logger": CSVLogger(tmp_path / "run", "", ""), "devices": 2, "strategy": "ddp_fork"}
    quiet_trainer(max_steps=2, callbacks=[Told()], **run).fit(module, data)

    described = (tmp_path / "describing").read_text().split("\n")[:-1]
    assert described == [f"0 {PICTURES}"]
    told = [json.loads((tmp_path / f"told_{rank}.json").read_text()) for rank in range(2)]
    assert told == [["a <robot> on a table"] * PICTURES] * 2
    made = json.loads((tmp_path / "run" / "captions.json").read_text())["captions"]
    assert {each["caption"] for each in made} == {"a {subject} on a table"}
    # this process has seen no data, and gets what the others have learned
    assert module.hparams["placeholder_token"] == "<robot>"
    [adapter] = module.adapter().adapters
    assert adapter.placeholder_token == "<robot>"
