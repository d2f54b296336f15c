import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, seed_everything
from lightning.pytorch.callbacks import EMAWeightAveraging, GradientAccumulationScheduler
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer
from torch.utils.data import DataLoader, Sampler

from sdtune.callbacks.resume_checkpoint import ResumeCheckpoint
from sdtune.callbacks.stop_signals import STOP_SIGNALS, Stopped
from sdtune.data.resume import resume_position
from sdtune.files.atomic_file import temporary_sibling
from sdtune.run_folder.checkpoints import find_checkpoint
from sdtune.run_folder.recipe_changes import RecipeChangedError
from sdtune.run_folder.resumes import read_resumes
from sdtune.run_folder.run_process import training_process
from tests.callbacks.fake_technique import FakeData, FakeTechnique, make_trainer
from tests.equal_states import assert_equal_states


@pytest.fixture(autouse=True)
def _event_files_are_read_in_their_order(monkeypatch):
    # TensorBoard counts a process's files without leading zeros and reads them by name: of two
    # starts in one second, which only tests make, the tenth would be read before the ninth
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(0))


class Deterministic(FakeTechnique):
    """Without hidden random states, so that a resumed run can be equal to a whole one."""

    def training_step(self, batch, batch_idx):
        self.batches.append(batch["index"].tolist())
        self.model.unet[1].p = 0.0
        loss = self.model.unet(batch["pixel_values"]).square().mean()
        self.log("train/loss", loss)
        return loss


class ResumableData(FakeData):
    """Begins inside of an epoch where training does."""

    def train_dataloader(self):
        _, done = resume_position(self.trainer)
        return DataLoader(self.samples, batch_size=2, sampler=_Sampler(2 * done))


class _Sampler(Sampler):
    def __init__(self, first):
        self.first = first

    def __iter__(self):
        first, self.first = self.first, 0
        yield from range(first, 10)

    def __len__(self):
        return 10


def fit(folder, *callbacks, ckpt_path=None, technique=None, data=None, **arguments):
    technique = technique or Deterministic()
    seed_everything(0, verbose=False)
    trainer = make_trainer(folder, *callbacks, **arguments)
    trainer.fit(technique, data or FakeData(), ckpt_path=ckpt_path)
    return technique


def logged(folder):
    """Train into a run folder with curves, validated at the end of each epoch of five steps."""
    return {"logger": TensorBoardLogger(folder.parent, folder.name, "")}


def points(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {
        tag: [(each.step, each.value) for each in events.Scalars(tag)]
        for tag in ("train/loss", "val/loss")
    }


class At(Callback):
    """Do something at the end of a step, or in its validation."""

    def __init__(self, step, act, hook="on_train_batch_end"):
        setattr(self, hook, lambda trainer, *_: trainer.global_step == step and act())


def names(folder):
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def saved_step(folder):
    path = folder / "checkpoints" / "last.ckpt"
    return torch.load(path, weights_only=True)["global_step"]


@pytest.mark.parametrize(
    ("every_n_steps", "max_steps", "kept"),
    [(2, 6, [4]), (4, 6, [4]), (100, 6, []), (None, 7, [5])],
)
def test_the_last_step_and_the_checkpoint_before_it_are_kept(
    tmp_path, every_n_steps, max_steps, kept
):
    fit(tmp_path, ResumeCheckpoint(every_n_steps), max_steps=max_steps)
    older = [f"step_{step:06}.ckpt" for step in kept]
    assert names(tmp_path) == ["last.ckpt", "manifest.json", *older]
    assert saved_step(tmp_path) == max_steps
    assert [torch.load(tmp_path / "checkpoints" / each)["global_step"] for each in older] == kept


@pytest.mark.parametrize(("keep_last", "kept"), [(1, []), (3, [6, 8])])
def test_checkpoints_are_bounded(tmp_path, keep_last, kept):
    fit(tmp_path, ResumeCheckpoint(2, keep_last), max_steps=10)
    older = [f"step_{step:06}.ckpt" for step in kept]
    assert names(tmp_path) == ["last.ckpt", "manifest.json", *older]


def test_a_checkpoint_has_its_name_when_all_of_its_step_is_on_the_disk(tmp_path):
    seen = []

    class Watched(ResumeCheckpoint):
        def publish_pending(self, trainer):
            is_pending = self._pending is not None
            super().publish_pending(trainer)
            if is_pending:
                curves = points(tmp_path / "run")
                seen.append((saved_step(tmp_path / "run"), *map(len, curves.values())))

    fit(tmp_path, Watched(5), max_steps=12, **logged(tmp_path / "run"))
    assert seen == [(5, 5, 1), (10, 10, 2), (12, 12, 2)]


@pytest.mark.parametrize("stopped_at", [3, 5, 7, 10])
def test_a_stopped_run_that_is_resumed_equals_a_whole_one(tmp_path, stopped_at):
    whole = fit(tmp_path / "whole", max_steps=12)
    first = fit(tmp_path / "part", ResumeCheckpoint(2), max_steps=stopped_at)
    checkpoint = tmp_path / "part" / "checkpoints" / "last.ckpt"
    second = fit(tmp_path / "part", ResumeCheckpoint(2), ckpt_path=checkpoint, max_steps=12)
    assert len(first.batches + second.batches) == len(whole.batches)
    if stopped_at % 5 == 0:  # elsewhere it is the data module that finds the place in the epoch
        assert first.batches + second.batches == whole.batches
        assert_equal_states(whole, second)


@pytest.mark.parametrize(
    ("hook", "killed_at"),
    [
        ("on_train_batch_end", 8),
        ("on_train_batch_end", 10),
        ("on_validation_batch_end", 5),
        ("on_validation_batch_end", 10),
    ],
)
def test_curves_are_whole_and_nothing_is_twice_after_a_crash(tmp_path, hook, killed_at):
    whole, part = tmp_path / "whole", tmp_path / "part"
    fit(tmp_path, ResumeCheckpoint(5), max_steps=12, **logged(whole))

    def crash():
        raise RuntimeError("power cut")

    crashing = At(killed_at, crash, hook)
    with pytest.raises(RuntimeError, match="power cut"):
        fit(tmp_path, crashing, ResumeCheckpoint(5), max_steps=12, **logged(part))
    checkpoint, _ = find_checkpoint(part / "checkpoints")
    assert not list(part.rglob("*.tmp"))
    if checkpoint is None:
        assert killed_at == 5
        return
    fit(tmp_path, ResumeCheckpoint(5), ckpt_path=checkpoint, max_steps=12, **logged(part))
    assert points(part) == points(whole)


def test_a_crash_while_writing_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    replace = os.replace

    def crash_at_the_second(source, target):
        if str(target).endswith("last.ckpt") and Path(target).exists():
            raise OSError("power cut")
        replace(source, target)

    monkeypatch.setattr(os, "replace", crash_at_the_second)
    with pytest.raises(OSError, match=r"last.ckpt at step 4, but power cut; .* is intact"):
        fit(tmp_path, ResumeCheckpoint(2), max_steps=6)
    assert saved_step(tmp_path) == 2
    path, problems = find_checkpoint(tmp_path / "checkpoints")
    assert (path.name, problems) == ("last.ckpt", [])
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_full_disk_is_a_sentence_and_the_old_checkpoint_stays(tmp_path, monkeypatch):
    original = torch.save

    def full_at_the_second(content, file, *rest, **options):
        original(content, file, *rest, **options)
        if (tmp_path / "checkpoints" / "last.ckpt").exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(torch, "save", full_at_the_second)
    with pytest.raises(OSError, match=r"write .*last.ckpt at step 4, but no space left on device"):
        fit(tmp_path, ResumeCheckpoint(2), max_steps=6)
    assert saved_step(tmp_path) == 2
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_folder_that_vanishes_is_a_sentence(tmp_path):
    run = tmp_path / "run"
    vanish = At(3, lambda: shutil.rmtree(run / "checkpoints"))
    with pytest.raises(OSError, match=r"checkpoints has vanished while training went on"):
        fit(run, vanish, ResumeCheckpoint(2), max_steps=6)
    assert not (run / "checkpoints").exists()


@pytest.mark.parametrize("damage", ["flip", "cut", "lose"])
def test_a_damaged_checkpoint_is_noticed_and_the_one_before_found(tmp_path, damage):
    fit(tmp_path, ResumeCheckpoint(2), max_steps=6)
    folder = tmp_path / "checkpoints"
    content = bytearray((folder / "last.ckpt").read_bytes())
    if damage == "lose":
        (folder / "last.ckpt").unlink()
    else:
        content[len(content) // 2] ^= 1
        content = content if damage == "flip" else content[:-10]
        (folder / "last.ckpt").write_bytes(content)
    if damage == "flip":
        with pytest.raises(ValueError, match=r"last.ckpt to be as it was written"):
            fit(tmp_path, ResumeCheckpoint(2), ckpt_path=folder / "last.ckpt", max_steps=8)
    path, problems = find_checkpoint(folder)
    assert path == folder / "step_000004.ckpt"
    assert len(problems) == (damage != "lose")
    fit(tmp_path, ResumeCheckpoint(2), ckpt_path=path, max_steps=8)
    assert names(tmp_path) == ["last.ckpt", "manifest.json", "step_000006.ckpt"]
    assert find_checkpoint(folder) == (folder / "last.ckpt", [])


def test_a_run_killed_before_it_dropped_an_old_checkpoint_drops_it_when_resumed(tmp_path):
    fit(tmp_path, ResumeCheckpoint(2), max_steps=6)
    folder = tmp_path / "checkpoints"
    (folder / "step_000002.ckpt").write_bytes(b"to be dropped")
    fit(tmp_path, ResumeCheckpoint(2), ckpt_path=folder / "last.ckpt", max_steps=6)  # no step left
    assert names(tmp_path) == ["last.ckpt", "manifest.json", "step_000004.ckpt"]
    fit(tmp_path, ResumeCheckpoint(2), ckpt_path=folder / "step_000004.ckpt", max_steps=4)
    assert names(tmp_path) == ["last.ckpt", "manifest.json", "step_000004.ckpt"]  # the newest stays


def test_leftovers_of_dead_processes_go_and_those_of_others_stay(tmp_path):
    code = "from sdtune.files.atomic_file import temporary_sibling as t; print(t('last.ckpt').name)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    fit(tmp_path, ResumeCheckpoint(2), max_steps=2)
    folder = tmp_path / "checkpoints"
    dead, live = folder / done.stdout.strip(), temporary_sibling(folder / "last.ckpt")
    foreign = folder / ".theirs.tmp"
    for path in (dead, live, foreign):
        path.write_bytes(b"half")
    fit(tmp_path, ResumeCheckpoint(2), ckpt_path=folder / "last.ckpt", max_steps=4)
    assert [path.exists() for path in (dead, live, foreign)] == [False, True, True]


def test_two_processes_do_not_train_in_one_folder(tmp_path):
    code = (
        "import sys; from pathlib import Path; from sdtune.run_folder.run_lock import RunLock\n"
        "lock = RunLock(Path(sys.argv[1])); lock.acquire()\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout.readline()
    with pytest.raises(FileExistsError, match="no other process to train in"):
        fit(tmp_path, ResumeCheckpoint(2), max_steps=2)
    assert not (tmp_path / "checkpoints").exists()
    other.communicate()
    fit(tmp_path, ResumeCheckpoint(2), max_steps=2)
    assert saved_step(tmp_path) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_stops_after_the_step_with_a_checkpoint(tmp_path, number):
    whole, part = tmp_path / "whole", tmp_path / "part"
    complete = fit(tmp_path, max_steps=12, **logged(whole))
    asking = At(5, lambda: signal.raise_signal(number), "on_validation_start")
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(Stopped) as stopped:
        fit(tmp_path, asking, ResumeCheckpoint(100), max_steps=12, **logged(part))
    assert stopped.value.code == 128 + number
    # it came in the validation of step 5, so that the next step is the first that it can stop after
    assert saved_step(part) == 6
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == handlers
    checkpoint = part / "checkpoints" / "last.ckpt"
    resumed = fit(
        tmp_path, ResumeCheckpoint(100), ckpt_path=checkpoint, max_steps=12, **logged(part)
    )
    assert [step for step, _ in points(part)["train/loss"]] == list(range(12))
    assert [step for step, _ in points(part)["val/loss"]] == [4, 9]
    assert len(resumed.batches) == len(complete.batches) - 6


@pytest.mark.parametrize("hook", ["on_fit_start", "on_sanity_check_end", "on_train_start"])
def test_a_signal_before_the_first_step_stops_with_its_code_and_nothing_written(tmp_path, hook):
    asking = Callback()
    setattr(asking, hook, lambda *_, **__: signal.raise_signal(signal.SIGUSR1))
    handlers = [signal.getsignal(each) for each in STOP_SIGNALS]
    with pytest.raises(Stopped, match=r"^Training stopped before its first step\.$") as stopped:
        fit(tmp_path, ResumeCheckpoint(1), asking, max_steps=2, num_sanity_val_steps=1)
    assert stopped.value.code == 128 + signal.SIGUSR1
    assert not (tmp_path / "checkpoints").exists()
    assert [signal.getsignal(each) for each in STOP_SIGNALS] == handlers
    fit(tmp_path, ResumeCheckpoint(1), max_steps=2)
    assert saved_step(tmp_path) == 2


def test_signals_are_given_back_when_a_resumed_run_has_no_step_left(tmp_path):
    handlers = [signal.getsignal(each) for each in STOP_SIGNALS]
    fit(tmp_path, ResumeCheckpoint(1), max_steps=2)
    checkpoint = tmp_path / "checkpoints" / "last.ckpt"
    fit(tmp_path, ResumeCheckpoint(1), ckpt_path=checkpoint, max_steps=2)
    assert [signal.getsignal(each) for each in STOP_SIGNALS] == handlers


@pytest.mark.parametrize(
    ("seconds", "says", "step"),
    [
        (0.5, "stopped after step 3", 3),  # `timeout` signals its command and then its group
        (1.5, "came twice", 2),
    ],
)
def test_a_second_signal_stops_at_once_if_it_is_not_the_first_ones_twin(
    tmp_path, monkeypatch, seconds, says, step
):
    def ask_twice():
        now = time.monotonic()
        signal.raise_signal(signal.SIGTERM)
        monkeypatch.setattr("sdtune.callbacks.stop_signals.time.monotonic", lambda: now + seconds)
        signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Stopped, match=says):
        fit(tmp_path, At(3, ask_twice), ResumeCheckpoint(2), max_steps=6)
    assert saved_step(tmp_path) == step


def test_gradients_that_are_summed_up_are_not_cut_in_two(tmp_path):
    asking = At(0, lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Stopped):
        fit(tmp_path, asking, ResumeCheckpoint(100), max_steps=6, accumulate_grad_batches=2)
    assert saved_step(tmp_path) == 1


def test_a_resumed_run_writes_nothing_within_a_step(tmp_path):
    """Its counters would be those of half a step, whose gradients are in no checkpoint."""
    fit(tmp_path, ResumeCheckpoint(1), max_steps=1, accumulate_grad_batches=3)
    checkpoint = tmp_path / "checkpoints" / "last.ckpt"
    before, same = checkpoint.read_bytes(), []
    look = At(1, lambda: same.append(checkpoint.read_bytes() == before), "on_train_batch_start")
    again = {"ckpt_path": checkpoint, "max_steps": 2, "accumulate_grad_batches": 3}
    fit(tmp_path, look, ResumeCheckpoint(1), **again)
    assert same == [True, True]
    assert saved_step(tmp_path) == 2


def test_what_cannot_change_is_refused_all_at_once(tmp_path):
    fit(tmp_path, ResumeCheckpoint(2), max_steps=4)
    checkpoint = tmp_path / "checkpoints" / "last.ckpt"
    before = checkpoint.read_bytes()
    changed = {"technique": Deterministic(learning_rate=0.2, seed=1), "data": FakeData(5)}
    with pytest.raises(RecipeChangedError) as error:
        fit(
            tmp_path,
            ResumeCheckpoint(2),
            ckpt_path=checkpoint,
            max_steps=8,
            accumulate_grad_batches=2,
            **changed,
        )
    keys = [each.split("`")[1] for each in error.value.problems]
    assert keys == [
        "data.batch_size",
        "model.learning_rate",
        "model.seed",
        "trainer.accumulate_grad_batches",
    ]
    first = error.value.problems[0]
    assert first.startswith("Expected `data.batch_size` to stay `2` after step 4, but got `5`: ")
    assert checkpoint.read_bytes() == before
    assert read_resumes(tmp_path) == []


def test_a_schedule_of_accumulation_may_not_change(tmp_path):
    epochs = {"max_epochs": 3, "max_steps": -1}
    fit(tmp_path / "1", ResumeCheckpoint(1), _schedule(), max_steps=7)
    first, second = (tmp_path / run / "checkpoints" / "last.ckpt" for run in ("1", "7"))
    fit(tmp_path / "7", ResumeCheckpoint(1), _schedule(), ckpt_path=first, max_steps=8)
    # `second` is of a run that was resumed itself
    fit(tmp_path / "8", ResumeCheckpoint(1), _schedule(), ckpt_path=second, max_steps=9)
    for other in ([_schedule(3)], []):
        with pytest.raises(RecipeChangedError, match=r"`trainer.accumulation_schedule` to stay"):
            fit(tmp_path / "9", ResumeCheckpoint(1), *other, ckpt_path=second, **epochs)


def _schedule(factor=2):
    return GradientAccumulationScheduler({0: 1, 1: factor})


@pytest.mark.parametrize("every_n_steps", [1, None])
def test_an_average_at_an_epochs_end_is_in_the_checkpoint_of_its_last_step(tmp_path, every_n_steps):
    """Of epochs of five batches; every third step is averaged, and each epoch's end."""
    make = partial(EMAWeightAveraging, decay=0.5, update_every_n_steps=3)
    keep = partial(ResumeCheckpoint, every_n_steps, 30)

    def run(folder, max_steps, ckpt_path=None):
        average = make(update_starting_at_epoch=0)
        again = {"data": ResumableData(), "max_steps": max_steps, "ckpt_path": ckpt_path}
        return fit(tmp_path / folder, keep(), average, **again)

    whole = run("whole", 13)
    run("short", 8)  # which ends inside an epoch, and is made longer
    at_end = tmp_path / "whole" / "checkpoints" / "step_000005.ckpt"
    for checkpoint in (at_end, tmp_path / "short" / "checkpoints" / "last.ckpt"):
        assert_equal_states(whole, run(checkpoint.stem, 13, checkpoint))


def test_another_average_is_refused_and_one_of_an_older_checkpoint_is_known(tmp_path):
    fit(tmp_path, ResumeCheckpoint(2), EMAWeightAveraging(decay=0.5), max_steps=4)
    checkpoint = tmp_path / "checkpoints" / "last.ckpt"
    again = {"ckpt_path": checkpoint, "max_steps": 6}
    for other in ({"decay": 0.6}, {"decay": 0.5, "update_every_n_steps": 2}):
        with pytest.raises(RecipeChangedError, match=r"`trainer.averages` to stay .*decay=0.5"):
            fit(tmp_path, ResumeCheckpoint(2), EMAWeightAveraging(**other), **again)
    state = torch.load(checkpoint, weights_only=True)
    recipe = state["callbacks"]["ResumeCheckpoint"]["recipe"]
    recipe["trainer.averages"] = ["EMAWeightAveraging"]
    older = tmp_path / "older.ckpt"
    torch.save(state, older)
    for decay in (0.5, 0.6):  # it knows no decay
        again = {"ckpt_path": older, "max_steps": 6}
        fit(tmp_path / str(decay), ResumeCheckpoint(2), EMAWeightAveraging(decay=decay), **again)
    with pytest.raises(RecipeChangedError, match=r"`trainer.averages` to stay"):
        fit(tmp_path / "none", ResumeCheckpoint(2), **again)


def test_an_argument_that_a_checkpoint_did_not_know_had_its_default(tmp_path):
    class Newer(Deterministic):
        def __init__(self, learning_rate: float = 0.1, seed: int = 0, extra: float = 0.0):
            super().__init__(learning_rate, seed)
            self.save_hyperparameters()

    Newer.__name__ = Deterministic.__name__
    fit(tmp_path, ResumeCheckpoint(2), max_steps=4)
    checkpoint = tmp_path / "checkpoints" / "last.ckpt"
    again = {"ckpt_path": checkpoint, "max_steps": 6}
    with pytest.raises(RecipeChangedError, match=r"`model.extra` to stay `0.0` after step 4"):
        fit(tmp_path, ResumeCheckpoint(2), technique=Newer(extra=1.0), **again)
    fit(tmp_path, ResumeCheckpoint(2), technique=Newer(), **again)
    assert saved_step(tmp_path) == 6


def test_what_may_change_is_written_down(tmp_path):
    fit(tmp_path, ResumeCheckpoint(2), max_steps=4)
    checkpoint = tmp_path / "checkpoints" / "last.ckpt"
    fit(tmp_path, ResumeCheckpoint(3), ckpt_path=checkpoint, max_steps=6)
    (resume,) = read_resumes(tmp_path)
    assert resume.step == 4
    assert [str(each) for each in resume.changes] == ["trainer.max_steps 4 → 6"]
    fit(tmp_path, ResumeCheckpoint(3), ckpt_path=checkpoint, max_steps=6)
    assert [each.step for each in read_resumes(tmp_path)] == [4, 6]


def test_resuming_in_the_same_folder_is_no_reason_to_warn(tmp_path, recwarn):
    fit(tmp_path, ResumeCheckpoint(2), max_steps=2)
    checkpoint = tmp_path / "checkpoints" / "last.ckpt"
    fit(tmp_path, ResumeCheckpoint(2), ckpt_path=checkpoint, max_steps=4)
    assert not [w for w in recwarn if "not empty" in str(w.message)]


def test_another_runs_checkpoint_is_refused(tmp_path):
    fit(tmp_path, ResumeCheckpoint(2), max_steps=2)
    with pytest.raises(FileExistsError, match="checkpoints to be empty"):
        fit(tmp_path, ResumeCheckpoint(2), max_steps=4)
    assert saved_step(tmp_path) == 2


def test_a_callback_of_an_earlier_run_leaves_that_one_alone(tmp_path):
    once = ResumeCheckpoint(2)  # as a list of callbacks in a notebook
    first, second = tmp_path / "1", tmp_path / "2"
    fit(first, once, max_steps=4)
    kept = {path: path.read_bytes() for path in (first / "checkpoints").iterdir()}
    fit(second, once, max_steps=4)
    assert names(first) == names(second)
    assert all(path.read_bytes() == content for path, content in kept.items())
    with pytest.raises(FileExistsError, match="checkpoints to be empty"):
        fit(first, once, max_steps=4)
    fit(first, once, max_steps=6, ckpt_path=first / "checkpoints" / "last.ckpt")
    assert (saved_step(first), saved_step(second)) == (6, 4)


def test_a_trainer_that_fits_once_more_goes_on_in_its_folder(tmp_path):
    trainer = make_trainer(tmp_path, ResumeCheckpoint(2), max_steps=2)
    trainer.fit(Deterministic(), FakeData())
    trainer.fit_loop.epoch_loop.max_steps = 4
    trainer.fit(Deterministic(), FakeData())
    assert saved_step(tmp_path) == 4


def test_an_interval_must_be_positive():
    with pytest.raises(ValueError, match="`every_n_steps` to be a positive integer or None"):
        ResumeCheckpoint(0)
    with pytest.raises(ValueError, match="`keep_last` to be a positive integer"):
        ResumeCheckpoint(1, keep_last=0)


def test_the_steps_that_epochs_come_to_are_written_down_for_those_who_watch(tmp_path):
    found = []

    class Look(Callback):
        def on_train_batch_end(self, trainer, *_):
            found.append(training_process(Path(trainer.log_dir)).steps)

    run = tmp_path / "run"
    fit(run, ResumeCheckpoint(), Look(), max_epochs=3, max_steps=-1, **logged(run))
    trained = len(found)
    assert trained > 3
    assert found == [trained] * trained
