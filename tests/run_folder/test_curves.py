import math

import pytest
from torch.utils.tensorboard import SummaryWriter

from sdtune.run_folder.curves import Curve, read_curves, running_mean


def test_every_point_is_read(tmp_path):
    with SummaryWriter(str(tmp_path)) as writer:
        for step in range(0, 400, 10):
            writer.add_scalar("train/loss", 0.3, step)
        writer.add_scalar("val/loss", 0.3, 199)
        writer.add_scalar("val/loss", 0.2, 399)
    curves = read_curves(tmp_path)
    assert set(curves) == {"train/loss", "val/loss"}
    assert curves["train/loss"].steps == list(range(0, 400, 10))
    assert curves["val/loss"].values == pytest.approx([0.3, 0.2])
    assert min(curve.seconds[0] for curve in curves.values()) == 0.0


def test_a_folder_without_events_has_no_curves(tmp_path):
    assert read_curves(tmp_path) == {}


def test_the_running_mean_leaves_out_what_is_not_finite():
    curve = Curve("loss", range(7), [1.0, 2.0, math.nan, 3.0, 4.0, 5.0, math.inf])
    smooth = running_mean(curve)  # five points wide
    assert smooth.steps == range(7)
    assert smooth.values == pytest.approx([1.5, 2.0, 2.5, 3.5, 4.0, 4.0, 4.5])
