import errno
import os
import signal

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, Timer

from sdtune.callbacks.late_states import LateStates
from sdtune.callbacks.resume_checkpoint import ResumeCheckpoint
from sdtune.run_folder.checkpoints import find_checkpoint
from tests.callbacks.fake_technique import make_trainer
from tests.callbacks.test_resume_checkpoint import At, Deterministic, ResumableData, names
from tests.equal_states import assert_equal_states

EACH_STEP, EACH_EPOCH = {"val_check_interval": 1}, {"val_check_interval": 1.0}


class Plateau(Deterministic):
    """Lowers the rate when the loss does not fall by 9, which it never does."""

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.model.unet.parameters(), lr=0.1)
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, patience=0, threshold=9.0, threshold_mode="abs", factor=0.5
        )
        options = {"scheduler": schedule, "monitor": "val/loss", "interval": "epoch"}
        return {"optimizer": optimizer, "lr_scheduler": options}


def asked(step):
    return At(step, lambda: os.kill(os.getpid(), signal.SIGTERM))


def run(folder, *callbacks, ckpt_path=None, technique=Deterministic, **arguments):
    module = technique()
    trainer = make_trainer(folder, *callbacks, ResumeCheckpoint(100), **arguments)
    trainer.fit(module, ResumableData(), ckpt_path=ckpt_path)
    return module, trainer


def stopped_and_resumed(folder, step, make, **arguments):
    with pytest.raises(SystemExit):
        run(folder, asked(step), *make(folder), **arguments)
    path, problems = find_checkpoint(folder / "checkpoints")
    assert problems == []
    return run(folder, *make(folder), ckpt_path=path, **arguments)


def never_better(folder, monitor="val/loss", at_epochs_end=False):
    arguments = {"patience": 4, "min_delta": 9.0, "check_on_train_epoch_end": at_epochs_end}
    return [EarlyStopping(monitor, **arguments)]


def at_epochs_end(folder):
    return never_better(folder, "train/loss", True)


def best(folder):
    arguments = {"filename": "{step}", "monitor": "val/loss", "mode": "max", "save_top_k": 1}
    return [ModelCheckpoint(folder / "best", **arguments)]


@pytest.mark.parametrize(
    ("make", "step", "validation"),
    [
        (never_better, 1, EACH_STEP),
        (never_better, 3, EACH_STEP),
        (never_better, 5, EACH_EPOCH),
        (at_epochs_end, 5, EACH_EPOCH),
        (at_epochs_end, 7, EACH_EPOCH),
        (best, 1, EACH_STEP),
        (best, 5, EACH_EPOCH),
    ],
)
def test_no_look_is_lost_between_a_step_and_the_next(tmp_path, make, step, validation):
    options = {**validation, "max_steps": 30}
    module, trainer = run(tmp_path / "whole", *make(tmp_path / "whole"), **options)
    folder = tmp_path / "parts"
    resumed, second = stopped_and_resumed(folder, step, make, **options)
    assert second.global_step == trainer.global_step
    assert_equal_states(resumed, module)
    if make is best:
        kept = [[*map(str, (tmp_path / run / "best").iterdir())] for run in ("whole", "parts")]
        assert kept[0] == [each.replace("parts", "whole") for each in kept[1]]
        assert len(kept[0]) == 1


@pytest.mark.parametrize("step", [2, 5, 10])
def test_a_rate_that_waits_for_a_validation_falls_all_the_same(tmp_path, step):
    options = {"technique": Plateau, "max_steps": 18}
    module, trainer = run(tmp_path / "whole", **options)
    resumed, second = stopped_and_resumed(tmp_path / "parts", step, lambda _: [], **options)
    rates = [each.optimizers[0].param_groups[0]["lr"] for each in (trainer, second)]
    assert rates == [0.025] * 2
    assert_equal_states(resumed, module)


@pytest.mark.parametrize("step", [2, 4])
def test_a_resumed_epoch_without_a_validation_of_its_own_knows_the_one_before(tmp_path, step):
    options = {"technique": Plateau, "max_steps": 12, "val_check_interval": 2}
    module, trainer = run(tmp_path / "whole", **options)
    resumed, second = stopped_and_resumed(tmp_path / "parts", step, lambda _: [], **options)
    rates = [each.optimizers[0].param_groups[0]["lr"] for each in (trainer, second)]
    assert rates == [0.05] * 2
    assert_equal_states(resumed, module)


@pytest.mark.parametrize("every", [7, 100])
def test_the_end_of_a_shorter_run_is_no_end_of_an_epoch(tmp_path, every):
    counts = []
    for steps in (12, 7, 12):
        folder = tmp_path / ("whole" if not counts else "parts")
        (early,) = at_epochs_end(folder)
        path, _ = find_checkpoint(folder / "checkpoints")
        trainer = make_trainer(folder, early, ResumeCheckpoint(every), max_steps=steps)
        trainer.fit(Deterministic(), ResumableData(), ckpt_path=path)
        counts.append(early.wait_count)
    assert counts[0] == counts[2]


def test_a_checkpoint_is_written_once_more_only_if_something_has_moved_on(tmp_path, monkeypatch):
    written, write = [], LateStates.write
    monkeypatch.setattr(
        LateStates, "write", lambda *given: (written.append(given[1].global_step), write(*given))
    )
    callbacks = [*never_better(tmp_path), Timer("00:01:00:00")]  # whose clock does not count
    trainer = make_trainer(tmp_path, *callbacks, ResumeCheckpoint(1), max_steps=7)
    trainer.fit(Plateau(), ResumableData())
    assert written == [5]
    assert names(tmp_path) == ["last.ckpt", "manifest.json", "step_000006.ckpt"]
    assert find_checkpoint(tmp_path / "checkpoints")[1] == []


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(LateStates, "write", full)
    trainer = make_trainer(tmp_path, *never_better(tmp_path), ResumeCheckpoint(1), max_steps=7)
    with pytest.raises(OSError, match=r"at step 5, but no space left .* before it is intact"):
        trainer.fit(Deterministic(), ResumableData())
    assert names(tmp_path) == ["last.ckpt", "manifest.json", "step_000003.ckpt"]
    path, problems = find_checkpoint(tmp_path / "checkpoints")
    assert torch.load(path, weights_only=True)["global_step"] == 4
    assert problems == []
