import math

import pytest

from sdtune.report.curves import Curve, read_curves, running_mean


def test_every_point_is_read(whole_run):
    curves = read_curves(whole_run)
    assert set(curves) == {"train/loss", "val/loss", "lr-AdamW"}
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
