from dataclasses import replace

import pytest

from sdtune.comparison.measures import Measure, are_paired, best_runs, measure
from sdtune.run_folder.curves import Curve
from sdtune.run_folder.record import Figure, MetricDescription
from tests.comparison.runs import make_result


def test_the_training_loss_is_a_mean_over_steps_and_less_is_better():
    results = [make_result("a", [1.0] * 4, [0.4, 0.2]), make_result("b", [1.0] * 4, [0.5, 0.3])]
    loss = measure("train_loss", results)
    assert loss.figures["a"].value == pytest.approx(0.3)
    assert loss.figures["a"].low < 0.3 < loss.figures["a"].high
    assert best_runs(loss) == ["a"]  # at each step by 0.1, however much steps vary


def with_curve(name, steps, values):
    return replace(make_result(name, [1.0] * 4), loss=Curve("train/loss", steps, values))


def test_a_run_that_ended_early_is_compared_at_the_steps_that_it_has():
    steps, falling = range(10, 610, 10), [0.5 * 0.95**step + 0.2 for step in range(60)]
    results = [with_curve("short", steps[:20], falling[:20]), with_curve("long", steps, falling)]
    loss = measure("train_loss", results)
    assert loss.figures["short"] == loss.figures["long"]
    assert loss.figures["long"].count == 20
    assert sorted(best_runs(loss)) == ["long", "short"]
    assert loss.apart == ""
    assert loss.share == (
        "The average training loss is that of the 20 logged steps that all these runs have, the "
        "last of which is step 200; each has logged 20 to 60."
    )
    assert measure("train_loss", results[:1]).share == ""
    assert measure("train_loss", results[1:]).figures["long"].count == 60


def test_losses_are_paired_by_their_steps_and_not_by_their_places():
    often = with_curve("often", range(1, 9), [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
    seldom = with_curve("seldom", range(2, 9, 2), [0.7, 0.5, 0.3, 0.1])  # by 0.1 at each of them
    loss = measure("train_loss", [often, seldom])
    assert loss.samples["often"] == [0.8, 0.6, 0.4, 0.2]
    assert best_runs(loss) == ["seldom"]


def test_losses_without_a_common_step_have_no_best_and_keep_their_figures():
    odd, even = with_curve("odd", [1, 3], [0.4, 0.2]), with_curve("even", [2, 4], [0.3, 0.1])
    loss = measure("train_loss", [odd, even])
    assert best_runs(loss) == []
    assert "fewer than two steps in common: give all of them one `trainer.log" in loss.apart
    assert loss.figures["odd"].value == pytest.approx(0.3)


def test_losses_of_different_techniques_have_no_best():
    a, b = (make_result(name, [1.0] * 4, [0.4, 0.2]) for name in "ab")
    run = replace(b.evaluation.run, technique="Other")
    b = replace(b, evaluation=replace(b.evaluation, run=run))
    loss = measure("train_loss", [a, b])
    assert best_runs(loss) == []
    assert "`model.class_path` (Toy and Other)" in loss.apart


def test_losses_that_are_weighed_otherwise_have_no_best_and_it_is_said():
    results = [
        replace(make_result(name, [1.0] * 4, losses), loss_settings={"model.min_snr_gamma": gamma})
        for name, losses, gamma in (("a", [0.4, 0.2], None), ("b", [0.3, 0.1], 1.0))
    ]
    loss = measure("train_loss", results)
    assert best_runs(loss) == []
    assert "these runs differ in `model.min_snr_gamma` (null and 1.0)" in loss.apart
    assert best_runs(measure("clip_score", results)) == ["a", "b"]
    same = [replace(each, loss_settings=results[0].loss_settings) for each in results]
    assert best_runs(measure("train_loss", same)) == ["b"]


def test_runs_that_cannot_be_told_apart_are_all_best():
    results = [
        make_result("a", [30.0, 31.0, 32.0, 33.0]),
        make_result("b", [31.0, 30.0, 33.0, 32.0]),
        make_result("c", [25.0, 26.0, 27.0, 28.0]),
        make_result("broken"),
    ]
    scores = measure("clip_score", results)
    assert sorted(best_runs(scores)) == ["a", "b"]
    assert scores.base["a"].value == 21.5
    assert scores.differences["c"].difference == 5.0


def test_a_metric_that_no_run_measured_is_none():
    assert measure("dino", [make_result("a", [1.0] * 4), make_result("broken")]) is None
    assert measure("train_loss", [make_result("a", [1.0] * 4)]) is None


def of_a_set(**figures):
    """A metric of a whole set, less is better: run -> value, low and high."""
    description = MetricDescription("KID", False, "How far two sets are apart.")
    return Measure(description, {name: Figure(*each, 8) for name, each in figures.items()})


def test_of_a_set_as_a_whole_runs_are_as_good_whose_intervals_overlap():
    scores = of_a_set(
        best=(1.9, -3.0, 7.9), near=(1.9001, -3.0, 8.0), worse=(9.0, 7.9, 12.0), far=(9.0, 8.0, 12)
    )
    assert best_runs(scores) == ["best", "near", "worse"]
    assert not are_paired(scores, "near", "best")
    apart = of_a_set(best=(1.0, 0.5, 1.5), other=(2.0, 1.6, 2.4))
    assert best_runs(apart) == ["best"]


def test_samples_are_paired_where_both_runs_have_as_many():
    scores = measure("clip_score", [make_result(name, [1.0] * 4) for name in "ab"])
    assert are_paired(scores, "a", "b")
    assert not are_paired(replace(scores, samples={"a": [1.0] * 4}), "a", "b")
    assert not are_paired(replace(scores, samples={"a": [1.0], "b": [1.0]}), "a", "b")
