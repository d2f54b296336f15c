import math
from dataclasses import replace

import pytest

from sdtune.report.run import read_run
from sdtune.report.run_plots import curve_plots, metric_plots
from sdtune.run_folder.curves import Curve


@pytest.fixture(scope="module")
def run(whole_run):
    return read_run(whole_run)


def test_losses_and_rates_are_drawn_if_they_were_logged(run):
    assert [plot.heading for plot in curve_plots(run)] == ["Loss", "Learning rate"]
    assert list(curve_plots(replace(run, curves={}))) == []


def test_a_loss_that_is_no_number_is_told(run):
    losses = Curve("train/loss", [0, 1, 2], [0.5, math.nan, math.inf])
    (plot,) = curve_plots(replace(run, curves={"train/loss": losses}))
    assert plot.note.endswith("At 2 points the loss was not a finite number, and is not drawn.")
    assert "held-out" not in plot.note


def test_groups_of_rates_have_their_names(run):
    names = ["$x^$", "_a", "$1$"]
    curves = {f"lr-AdamW/{name}": Curve("lr", [0, 1], [0.1, 0.2]) for name in names}
    (plot,) = curve_plots(replace(run, curves=curves))
    assert all(f">{name}</text>" in plot.svg for name in names)


def test_metrics_are_drawn_from_two_checkpoints_on(run):
    titles = [plot.heading for plot in metric_plots(run)]
    assert titles == [metric.title for metric in run.evaluation.metrics.values()]
    base, first, _ = run.evaluation.checkpoints
    short = replace(run, evaluation=replace(run.evaluation, checkpoints=[base, first]))
    assert list(metric_plots(short)) == []
