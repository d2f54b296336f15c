import pytest
from lightning.pytorch import Callback

from sdtune.callbacks.periodic import PeriodicCallback
from sdtune.callbacks.resume_checkpoint import ResumeCheckpoint
from tests.callbacks.fake_technique import FakeData, FakeTechnique, make_trainer


class Visits(PeriodicCallback):
    folder_name = "visits"

    def __init__(self, every_n_steps=None, made=True):
        super().__init__(every_n_steps)
        self.steps = []
        self.made = made

    def at_step(self, trainer, technique, step):
        self.steps.append(step)

    def has(self, step):
        return self.made


class Killed(Callback):
    def on_train_end(self, trainer, pl_module):
        raise KeyboardInterrupt


def fit(folder, *callbacks, ckpt_path=None, **arguments):
    technique = FakeTechnique()
    make_trainer(folder, *callbacks, **arguments).fit(technique, FakeData(), ckpt_path=ckpt_path)
    return technique


def visits(tmp_path, every_n_steps=None, validate=True, **arguments):
    callback = Visits(every_n_steps)
    trainer = make_trainer(tmp_path, callback, **arguments)
    trainer.fit(FakeTechnique(), FakeData(validate=validate))
    return callback.steps


@pytest.mark.parametrize(
    ("arguments", "steps"),
    [
        ({"every_n_steps": 2}, [2, 4, 6]),
        ({"every_n_steps": 4}, [4, 6]),
        ({"every_n_steps": 100}, [6]),
        ({"every_n_steps": 2, "accumulate_grad_batches": 3, "max_steps": 4}, [2, 4]),
        # epochs of 5 batches
        ({"max_steps": 12}, [5, 10, 12]),
        ({"max_steps": 12, "validate": False}, [5, 10, 12]),
        ({"max_steps": 6, "val_check_interval": 2}, [2, 4, 6]),
        ({"max_steps": 20, "check_val_every_n_epoch": 2}, [10, 20]),
        ({"max_steps": -1, "max_epochs": 2}, [5, 10]),
        ({"max_steps": 6, "num_sanity_val_steps": 2}, [5, 6]),
        ({"fast_dev_run": True}, []),
    ],
)
def test_each_step_is_visited_once_and_the_last_one_always(tmp_path, arguments, steps):
    assert visits(tmp_path, **arguments) == steps


@pytest.mark.parametrize("limit", [{"max_steps": 5}, {"max_steps": -1, "max_epochs": 1}])
@pytest.mark.parametrize("kept", [1, None])
@pytest.mark.parametrize(("made", "steps"), [(False, [5]), (True, [])])
def test_what_a_killed_run_left_undone_is_made_up_for(tmp_path, limit, kept, made, steps):
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        fit(tmp_path, Killed(), ResumeCheckpoint(kept), **limit)
    for every_n_steps in (2, None):
        callback = Visits(every_n_steps, made)
        checkpoint = tmp_path / "checkpoints" / "last.ckpt"
        technique = fit(tmp_path, callback, ResumeCheckpoint(kept), ckpt_path=checkpoint, **limit)
        assert callback.steps == steps
        assert technique.batches == []


def test_validation_alone_is_not_training(tmp_path):
    callback = Visits()
    make_trainer(tmp_path, callback).validate(FakeTechnique(), FakeData(), verbose=False)
    assert callback.steps == []


def test_a_used_folder_is_refused_before_the_first_step(tmp_path):
    (tmp_path / "visits").mkdir()
    visits(tmp_path)
    (tmp_path / "visits" / "theirs.png").touch()
    technique = FakeTechnique()
    with pytest.raises(FileExistsError, match=r"visits to be empty, but another run"):
        make_trainer(tmp_path, Visits()).fit(technique, FakeData())
    assert technique.batches == []


def test_a_callback_of_an_earlier_run_refuses_a_used_folder_too(tmp_path):
    once = Visits(2)
    for run in ("1", "2"):
        make_trainer(tmp_path / run, once).fit(FakeTechnique(), FakeData())
    assert once.steps == [2, 4, 6] * 2
    (tmp_path / "3" / "visits").mkdir(parents=True)
    (tmp_path / "3" / "visits" / "theirs.png").touch()
    with pytest.raises(FileExistsError, match=r"visits to be empty, but another run"):
        make_trainer(tmp_path / "3", once).fit(FakeTechnique(), FakeData())


def test_an_interval_must_be_positive():
    with pytest.raises(ValueError, match="`every_n_steps` to be a positive integer or None"):
        Visits(0)


def test_the_module_must_be_a_technique(tmp_path):
    technique = FakeTechnique()
    technique.adapter_metadata = None
    with pytest.raises(TypeError, match="FakeTechnique has no `adapter_metadata`"):
        make_trainer(tmp_path, Visits()).fit(technique, FakeData())
