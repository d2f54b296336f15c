from pathlib import Path

import pytest

from sdtune._resumed_checkpoint import forget_resumed, given_checkpoint, resumed_checkpoint


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
