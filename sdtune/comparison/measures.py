"""A metric over all runs: figures, differences from the base, and which runs are best."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sdtune.comparison.loss_settings import loss_differences
from sdtune.comparison.results import ComparedRun, are_comparable
from sdtune.comparison.settings import TRAIN_LOSS
from sdtune.evaluation.descriptions import describe_metrics
from sdtune.metrics.intervals import bootstrap_interval, paired_interval
from sdtune.run_folder.curves import Curve
from sdtune.run_folder.record import Difference, Figure, MetricDescription

__all__ = ["Measure", "are_paired", "best_runs", "losses_apart", "measure", "unmeasured"]

_TRAIN_LOSS = MetricDescription(
    title="average training loss",
    higher_is_better=False,
    meaning=(
        "What training lowers, over the logged steps that all runs have: the mean squared error of "
        "what is predicted, weighed as the recipe says. Runs of one seed see the same pictures, "
        "noise and timesteps at each step, and are compared step by step. Runs of different "
        "techniques, or with settings by which it is another loss, are not compared: their figures "
        "are over all steps that each has logged."
    ),
)


@dataclass(frozen=True)
class Measure:
    """A metric over the runs of a comparison.

    Attributes:
        description: What it is.
        figures: Run -> its figure, where it was measured.
        base: Run -> the figure of the base by the same prompts.
        differences: Run -> the difference from the base.
        samples: Run -> a value per sample; absent for metrics of a whole set.
        seeds: The seeds of each prompt's samples; the samples go by prompts, then by these.
        comparable: Whether one run's figure can be better than another's.
        apart: Why not, one sentence, if it is this metric alone that cannot be compared.
        share: What part of the runs is compared, one sentence, if it is not all of them.
    """

    description: MetricDescription
    figures: Mapping[str, Figure]
    base: Mapping[str, Figure] = field(default_factory=dict)
    differences: Mapping[str, Difference] = field(default_factory=dict)
    samples: Mapping[str, Sequence[float]] = field(default_factory=dict)
    seeds: Sequence[int] = (0,)
    comparable: bool = True
    apart: str = ""
    share: str = ""


def measure(metric: str, results: Sequence[ComparedRun]) -> Measure | None:
    """Collect a metric from the runs.

    Args:
        metric: A key of evaluation.json, or `train_loss`.
        results: The runs, failed ones included.

    Returns:
        The metric; None if no run measured it.
    """
    if metric == TRAIN_LOSS:
        return _measure_loss([each for each in results if each.loss and len(each.loss.values) > 1])
    scored = [
        (each, each.evaluation, each.evaluation.checkpoints[0], each.evaluation.checkpoints[-1])
        for each in results
        if each.evaluation and metric in each.evaluation.metrics
    ]
    if not scored:
        return None
    _, evaluation, _, _ = scored[0]
    return Measure(
        description=evaluation.metrics[metric],
        figures={
            each.name: last.figures[metric] for each, _, _, last in scored if metric in last.figures
        },
        base={
            each.name: base.figures[metric] for each, _, base, _ in scored if metric in base.figures
        },
        differences={
            each.name: last.against_base[metric]
            for each, _, _, last in scored
            if metric in last.against_base
        },
        samples={
            each.name: last.per_sample[metric]
            for each, _, _, last in scored
            if metric in last.per_sample
        },
        seeds=evaluation.protocol.seeds,
        comparable=are_comparable(results),
    )


def unmeasured(metric: str) -> Measure:
    """Make a metric that no run measured, so that it has its place among the others.

    Args:
        metric: A registered metric, or `train_loss`.

    Raises:
        ValueError: If there is no such metric.
    """
    description = _TRAIN_LOSS if metric == TRAIN_LOSS else describe_metrics([metric])[metric]
    return Measure(description, figures={})


def best_runs(of: Measure) -> list[str]:
    """Find the best run, and every run of which it cannot be told apart.

    Args:
        of: The metric.

    Returns:
        The run with the best figure first; then those whose difference from it, paired by sample,
        has a 95 % interval that covers 0. Where there are no samples to pair, those whose figure's
        interval overlaps the best one's: then a difference of 0 is not excluded.
    """
    sign = 1 if of.description.higher_is_better else -1
    order = sorted(of.figures, key=lambda name: -sign * of.figures[name].value)
    if not order or not of.comparable:
        return []
    best, *others = order
    return [best, *(name for name in others if _is_as_good(of, name, best))]


def are_paired(of: Measure, name: str, best: str) -> bool:
    """Tell whether two runs have samples that can be compared one by one.

    Args:
        of: The metric.
        name: A run.
        best: Another.
    """
    return len(of.samples.get(name, ())) == len(of.samples.get(best, ())) >= 2


def _is_as_good(of: Measure, name: str, best: str) -> bool:
    if not are_paired(of, name, best):
        one, other = of.figures[name], of.figures[best]
        return one.low <= other.high and other.low <= one.high
    ours, theirs = of.samples[name], of.samples[best]
    prompts, seeds = _names(len(ours), of.seeds)
    difference = paired_interval(_tensor(ours), _tensor(theirs), prompts, seeds)
    return difference.low <= 0.0 <= difference.high


def _tensor(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _names(samples: int, seeds: Sequence[int]) -> tuple[list[Hashable], list[int]]:
    prompts = samples // len(seeds)
    return [prompt for prompt in range(prompts) for _ in seeds], list(seeds) * prompts


def _measure_loss(results: Sequence[ComparedRun]) -> Measure | None:
    if not results:
        return None
    curves = {each.name: each.loss for each in results if each.loss}
    own = {name: list(map(int, curve.steps)) for name, curve in curves.items()}
    common = sorted(set.intersection(*map(set, own.values())))
    apart = _loss_apart(results, common)
    comparable = not apart and are_comparable(results)
    losses = {
        name: _values_at(common if comparable else own[name], curve)
        for name, curve in curves.items()
    }
    return Measure(
        description=_TRAIN_LOSS,
        figures={name: _loss_figure(values) for name, values in losses.items()},
        samples=losses,
        comparable=comparable,
        apart=apart,
        share=_shared_steps(own, common) if comparable else "",
    )


def _loss_apart(results: Sequence[ComparedRun], common: Sequence[int]) -> str:
    """Say why the training losses of runs cannot be compared; empty if they can be."""
    says_nothing = f"The {_TRAIN_LOSS.title} says nothing of which run is better, for these runs"
    if differences := losses_apart(results):
        return f"{says_nothing} differ in {differences}, and so it is not the same loss."
    if len(common) < 2:
        return (
            f"{says_nothing} have logged fewer than two steps in common: give all of them one "
            "`trainer.log_every_n_steps`."
        )
    return ""


def _shared_steps(own: Mapping[str, Sequence[int]], common: Sequence[int]) -> str:
    """Say over how many steps losses are compared, if any run has logged others."""
    counts = [len(steps) for steps in own.values()]
    if max(counts) == len(common):
        return ""
    logged = f"{min(counts)} to {max(counts)}" if min(counts) < max(counts) else f"{max(counts)}"
    return (
        f"The {_TRAIN_LOSS.title} is that of the {len(common)} logged steps that all these runs "
        f"have, the last of which is step {common[-1]}; each has logged {logged}."
    )


def _values_at(steps: Sequence[int], curve: Curve) -> list[float]:
    values = dict(zip(curve.steps, curve.values, strict=True))
    return [values[step] for step in steps]


def losses_apart(results: Sequence[ComparedRun]) -> str:
    """Say in what the training losses of runs differ, so that one cannot be less than another.

    Args:
        results: The runs; failed ones are left out.

    Returns:
        Keys of recipes with their values; empty if the losses can be compared.
    """
    scored = [(each, each.evaluation.run.technique) for each in results if each.evaluation]
    return loss_differences(
        [{**each.loss_settings, "model.class_path": technique} for each, technique in scored]
    )


def _loss_figure(losses: Sequence[float]) -> Figure:
    steps = range(len(losses))  # what is drawn at one step says nothing about the next one's
    interval = bootstrap_interval(_tensor(losses), steps, [0] * len(losses))
    return Figure(interval.value, interval.low, interval.high, len(losses))
