import pytest
from lightning.pytorch.callbacks import BatchSizeFinder, LearningRateFinder
from lightning.pytorch.tuner import Tuner

from sdtune.callbacks.resume_checkpoint import ResumeCheckpoint
from sdtune.run_folder.resumes import read_resumes
from tests.callbacks.fake_technique import FakeData, make_trainer
from tests.callbacks.test_periodic import Visits
from tests.callbacks.test_resume_checkpoint import Deterministic, fit, saved_step
from tests.equal_states import assert_equal_states


def find_rate():
    return LearningRateFinder(num_training_steps=20)


def find_size():
    return BatchSizeFinder(max_trials=2)


def found(technique, data):
    return technique.hparams.learning_rate, data.hparams.batch_size


@pytest.mark.parametrize("finder", [find_rate, find_size])
def test_a_run_that_begins_with_a_finder_is_none_that_is_resumed(tmp_path, finder):
    technique, data = Deterministic(), FakeData()
    visits = Visits(2)
    fit(tmp_path, finder(), visits, ResumeCheckpoint(2), technique=technique, data=data)
    assert found(technique, data) != (0.1, 2)
    assert visits.steps == [2, 4, 6]
    assert visits._resumed_run is None
    assert saved_step(tmp_path) == 6
    assert read_resumes(tmp_path) == []


@pytest.mark.parametrize("finder", [find_rate, find_size])
@pytest.mark.parametrize("writer", [Visits, ResumeCheckpoint])
def test_a_run_that_begins_with_a_finder_refuses_a_used_folder(tmp_path, finder, writer):
    folder = tmp_path / ("visits" if writer is Visits else "checkpoints")
    folder.mkdir()
    (folder / "theirs").touch()
    with pytest.raises(FileExistsError, match="to be empty, but another run"):
        fit(tmp_path, finder(), writer(2))
    assert [each.name for each in folder.iterdir()] == ["theirs"]


@pytest.mark.parametrize(("finder", "epoch"), [(find_rate, 5), (find_size, 3)])
def test_a_resumed_run_goes_on_with_what_was_found(tmp_path, finder, epoch):
    whole, part = (Deterministic(), FakeData()), (Deterministic(), FakeData())
    for name, (technique, data), steps in (
        ("whole", whole, 2 * epoch),
        ("part", part, epoch),
    ):
        kept = {"technique": technique, "data": data, "max_steps": steps}
        fit(tmp_path / name, finder(), Visits(2), ResumeCheckpoint(2), **kept)
    assert found(*whole) == found(*part)
    technique, data, visits = Deterministic(), FakeData(), Visits(2)
    trainer = make_trainer(
        tmp_path / "part", finder(), visits, ResumeCheckpoint(2), max_steps=2 * epoch
    )
    checkpoint = tmp_path / "part" / "checkpoints" / "last.ckpt"
    trainer.fit(technique, data, ckpt_path=checkpoint)
    assert found(technique, data) == found(*whole)
    assert_equal_states(technique, whole[0])
    assert technique.batches == whole[0].batches[-epoch:]  # no finder has looked
    assert visits._resumed_run == tmp_path / "part"
    (resume,) = read_resumes(tmp_path / "part")
    assert resume.step == epoch
    assert [each.key for each in resume.changes] == ["trainer.max_steps"]


def test_a_finder_that_acts_on_a_resumed_run_makes_no_other_of_it(tmp_path):
    class Subclass(LearningRateFinder):
        """May act later too, so that it stays."""

    fit(tmp_path, Visits(2), ResumeCheckpoint(2), max_steps=2)
    visits = Visits(2)
    checkpoint = tmp_path / "checkpoints" / "last.ckpt"
    callbacks = Subclass(num_training_steps=20), visits, ResumeCheckpoint(2)
    fit(tmp_path, *callbacks, ckpt_path=checkpoint, max_steps=6)
    assert visits._resumed_run == tmp_path
    assert [each.step for each in read_resumes(tmp_path)] == [2]


@pytest.mark.parametrize("look", ["lr_find", "scale_batch_size"])
def test_a_run_after_a_tuner_is_a_fresh_one(tmp_path, look):
    technique, data, visits = Deterministic(), FakeData(), Visits(2)
    trainer = make_trainer(tmp_path, visits, ResumeCheckpoint(2))
    words = {"num_training": 20} if look == "lr_find" else {"max_trials": 2, "mode": "binsearch"}
    getattr(Tuner(trainer), look)(technique, datamodule=data, **words)
    trainer.fit(technique, data)
    assert visits.steps == [2, 4, 6]
    assert visits._resumed_run is None
    assert read_resumes(tmp_path) == []
