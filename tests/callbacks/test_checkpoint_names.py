import pytest
from lightning.pytorch.callbacks import ModelCheckpoint, OnExceptionCheckpoint

from sdtune.callbacks.resume_checkpoint import ResumeCheckpoint
from sdtune.commands.building import problems_together
from tests.callbacks.fake_technique import FakeTechnique, make_trainer
from tests.callbacks.test_resume_checkpoint import fit, names


def numbered(filename, **arguments):
    return ModelCheckpoint(filename=filename, auto_insert_metric_name=False, **arguments)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize(
    ("other", "file", "argument"),
    [
        (lambda: ModelCheckpoint(save_last=True), "last.ckpt", "save_last=True"),
        (lambda: ModelCheckpoint(save_last="link"), "last.ckpt", "save_last=link"),
        (lambda: ModelCheckpoint(filename="last"), "last.ckpt", "filename=last"),
        (
            lambda: numbered("step_{step:06d}", save_top_k=-1),
            "step_123456.ckpt",
            "filename=step_{step:06d}",
        ),
        (lambda: numbered("step_{step}"), "step_123456.ckpt", "filename=step_{step}"),
    ],
)
def test_another_writer_of_its_files_is_refused_before_the_first_step(
    tmp_path, place, other, file, argument
):
    own, technique = ResumeCheckpoint(2), FakeTechnique()
    callbacks = [other()]
    callbacks.insert(place, own)
    (problem,) = problems_together(None, None, make_trainer(tmp_path, *callbacks), True)
    path = tmp_path / "checkpoints" / file
    assert problem.startswith(
        f"Expected ResumeCheckpoint alone to write files such as {path}, but ModelCheckpoint with "
        f"`{argument}` does too: give that a `dirpath` of its own, or change `"
    )
    with pytest.raises(ValueError, match="Expected ResumeCheckpoint alone to write"):
        fit(tmp_path, *callbacks, technique=technique)
    assert technique.batches == []
    assert not path.exists()


def test_a_folder_that_is_told_is_compared(tmp_path):
    same = ModelCheckpoint(tmp_path / "checkpoints", save_last=True)
    own = ResumeCheckpoint(2)
    assert len(own.problems_with_trainer(make_trainer(tmp_path, same, own))) == 1
    (problem,) = own.problems_with_trainer(
        make_trainer(tmp_path, OnExceptionCheckpoint(same.dirpath, "last"), own)
    )
    assert f"{same.dirpath}/last.ckpt, but OnExceptionCheckpoint with `filename=last`" in problem
    trial = make_trainer(tmp_path, same, own, fast_dev_run=True)  # which writes nothing
    assert own.problems_with_trainer(trial) == []


def test_other_names_and_folders_stay(tmp_path):
    others = [
        ModelCheckpoint(every_n_train_steps=1, save_top_k=-1),
        ModelCheckpoint(tmp_path / "own", save_last=True, every_n_train_steps=3),
        numbered("best/step_{step:06d}", every_n_train_steps=4),
        numbered("step_{step:06d}", every_n_train_steps=5, save_top_k=0),
        OnExceptionCheckpoint(tmp_path / "own", "step_000004"),
        OnExceptionCheckpoint(tmp_path / "checkpoints"),
    ]
    fit(tmp_path, *others, ResumeCheckpoint(2))
    stock = [f"epoch={step // 6}-step={step}.ckpt" for step in range(1, 7)]
    ours = ["last.ckpt", "manifest.json", "step_000004.ckpt"]
    assert names(tmp_path) == sorted(["best", *stock, *ours])
    assert (tmp_path / "own" / "last.ckpt").exists()
