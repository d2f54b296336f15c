from pathlib import Path

import pytest

from sdtune._resumed_checkpoint import (
    forget_resumed,
    given_checkpoint,
    is_resumed_within,
    note_resumed,
    resumed_checkpoint,
)


class Run:
    """As much of a Trainer as is asked."""

    ckpt_path = None


@pytest.mark.parametrize("finder", ["runs/.lr_find_1.ckpt", Path("runs/.scale_batch_size_1.ckpt")])
def test_a_finders_file_is_no_checkpoint_of_a_run(finder):
    run = Run()
    run.ckpt_path = finder
    assert given_checkpoint(run) is resumed_checkpoint(run) is None
    run.ckpt_path = "runs/last.ckpt"
    assert resumed_checkpoint(run) == given_checkpoint(run) == Path("runs/last.ckpt")
    run.ckpt_path = finder
    assert given_checkpoint(run) is None
    assert resumed_checkpoint(run) == Path("runs/last.ckpt")
    forget_resumed(run)
    assert resumed_checkpoint(run) is None


def test_a_fit_without_a_checkpoint_resumes_nothing():
    run = Run()
    run.ckpt_path = "runs/last.ckpt"
    assert resumed_checkpoint(run) is not None
    run.ckpt_path = None
    assert resumed_checkpoint(run) is None


def test_a_run_is_known_by_where_its_checkpoint_lies_or_by_who_wrote_it(tmp_path):
    run, moved, other = (tmp_path / name for name in ("run", "moved", "other"))
    trainer = Run()
    trainer.ckpt_path = moved / "checkpoints" / "last.ckpt"
    note_resumed(trainer, {"callbacks": {"a": {"dirpath": str(run / "checkpoints")}, "b": 3}})
    assert [is_resumed_within(trainer, each) for each in (run, moved, other)] == [True, True, False]
    forget_resumed(trainer)
    assert not is_resumed_within(trainer, moved)
    note_resumed(trainer, {})
    assert is_resumed_within(trainer, moved)
    trainer.ckpt_path = None
    assert not is_resumed_within(trainer, moved)
