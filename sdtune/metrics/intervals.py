"""How sure a figure is: intervals over prompts and seeds, and differences from the base."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal, NamedTuple

import torch
from scipy.special import fdtr, stdtrit
from torch import Tensor

from sdtune.functional.randomness import Stream, counter_generator

__all__ = [
    "Interval",
    "Resamples",
    "Verdict",
    "bootstrap_interval",
    "has_spread",
    "interval_of",
    "paired_interval",
    "resample",
    "verdict",
]

Verdict = Literal["better", "worse", "no difference seen", "no interval"]

_SEEN = 0.95
"""Probability from which an effect of the seeds is taken to be seen."""

_FEW = 6
"""Fewer levels have no resamples as far out as Student's t asks."""


@dataclass(frozen=True)
class Interval:
    """A figure and where it could as well have been.

    Attributes:
        value: The figure.
        low: Lower end of the interval.
        high: Upper end.
        confidence: How often such an interval holds the true value, 0.95 for 95 %.
    """

    value: float
    low: float
    high: float
    confidence: float = 0.95


class Resamples(NamedTuple):
    """Samples drawn again, whole prompts and whole seeds at a time.

    Attributes:
        weights: (R, N) float64, how often each sample counts in each resample.
        levels: Number of prompts, or of seeds if there is one prompt.
    """

    weights: Tensor
    levels: int


def verdict(difference: Interval, higher_is_better: bool) -> Verdict:
    """Say in words what a difference from the base shows.

    Args:
        difference: Tuned less base.
        higher_is_better: As the metric declares it.

    Returns:
        `no difference seen` if the interval covers 0; `no interval`, which is no verdict, where
        the samples allow none.
    """
    if difference.low <= 0.0 <= difference.high:
        return "no difference seen"
    if not has_spread(difference.low, difference.high):
        return "no interval"
    return "better" if (difference.low > 0.0) == higher_is_better else "worse"


def has_spread(low: float, high: float) -> bool:
    """Tell whether an interval says anything of how sure a figure is.

    Where all samples have the same figure, as two seeds that give the same picture do, every
    resample repeats it, and the ends of the interval are the figure itself.

    Args:
        low: Lower end.
        high: Upper end.

    Returns:
        Whether the ends differ by more than rounding.
    """
    return not math.isclose(low, high, rel_tol=1e-9)


def resample(
    prompts: Sequence[Hashable], seeds: Sequence[int], count: int = 2000, seed: int = 0
) -> Resamples:
    """Draw how often each sample counts in each resample, over prompts and over seeds.

    Samples of one prompt go up and down together, and so do those of one seed, whose pictures
    start from the same noise. So whole prompts and whole seeds are drawn with replacement, and a
    sample counts as often as both of its own were drawn (Owen 2007, "The pigeonhole bootstrap",
    https://arxiv.org/abs/0712.1111). What there is one of is not resampled: an interval over one
    seed speaks of that seed only.

    Args:
        prompts: N prompts, one per sample, or any names of them.
        seeds: N seeds of the samples' noise.
        count: Number of resamples, R.
        seed: Seed of the draws.

    Returns:
        The weights. A row is all 0 if no sample has both, which is only where not every prompt
        comes with every seed.

    Raises:
        ValueError: If the numbers of prompts and seeds differ, or all samples are of one prompt
            and one seed.
    """
    if len(prompts) != len(seeds):
        raise ValueError(
            f"Expected a prompt and a seed per sample, but got {len(prompts)} and {len(seeds)}."
        )
    if len(set(prompts)) < 2 and len(set(seeds)) < 2:
        raise ValueError(
            "Expected samples of at least two prompts or two seeds for an interval, but got one."
        )
    weights = _times_drawn(prompts, count, seed, 0) * _times_drawn(seeds, count, seed, 1)
    levels = len(set(prompts))
    return Resamples(weights, levels if levels > 1 else len(set(seeds)))


def _times_drawn(names: Sequence[Hashable], count: int, seed: int, factor: int) -> Tensor:
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    levels = len(numbers)
    generator = counter_generator(seed, Stream.BOOTSTRAP, factor)
    drawn = torch.randint(levels, (count, levels), generator=generator)
    ones = torch.ones_like(drawn, dtype=torch.float64)
    times = torch.zeros(count, levels, dtype=torch.float64).scatter_add_(1, drawn, ones)
    return times[:, [numbers[name] for name in names]]  # (R, levels) -> (R, N)


def bootstrap_interval(
    values: Tensor,
    prompts: Sequence[Hashable],
    seeds: Sequence[int],
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Give the mean of samples with its interval over prompts and seeds.

    The ends are percentiles, as `interval_of` finds them. Where each prompt comes with each seed
    once, the interval is at least that of Student's t for a mean of random prompts and, where
    seeds are seen to matter, random seeds: two that differ much say little, whatever is resampled.
    Measured on simulated differences with none behind them, by `tests/metrics/test_intervals.py`,
    2 to 12 prompts of 2 to 4 seeds give a verdict in 1 to 8 % of cases, and in up to 18 % where
    nearly all is decided by the 2 seeds.

    Args:
        values: (N,) one figure per sample.
        prompts: N prompts, or any names of them.
        seeds: N seeds.
        confidence: How often the interval should hold the true mean, in (0, 1).
        seed: Seed of the draws; the same arguments give the same interval.

    Returns:
        The mean and its interval.

    Raises:
        ValueError: If the numbers differ, or all samples are of one prompt and one seed.
    """
    if len(values) != len(prompts):
        raise ValueError(
            f"Expected one value per sample, but got {len(values)} for {len(prompts)} samples."
        )
    _check(confidence)
    figures = values.detach().to("cpu", torch.float64)
    resamples = resample(prompts, seeds, seed=seed)
    means = resamples.weights @ figures / resamples.weights.sum(dim=1)
    table = _table(figures, prompts, seeds)
    if table is None:
        return _of_few(float(figures.mean()), means, resamples.levels, confidence)
    found = _percentiles(float(figures.mean()), means, resamples.levels, confidence)
    return _at_least(found, *_random_effects(table))


def _table(figures: Tensor, prompts: Sequence[Hashable], seeds: Sequence[int]) -> Tensor | None:
    """Order figures by prompts and seeds: (P, S); None if not each comes with each once."""
    rows, columns = (
        {name: n for n, name in enumerate(dict.fromkeys(of))} for of in (prompts, seeds)
    )
    if len(figures) != len(rows) * len(columns):
        return None
    table = torch.full((len(rows), len(columns)), math.nan, dtype=torch.float64)
    table[[rows[name] for name in prompts], [columns[name] for name in seeds]] = figures
    return None if table.isnan().any() else table


def _random_effects(table: Tensor) -> tuple[float, float]:
    """Estimate the standard error of a table's mean, and its degrees of freedom.

    Two crossed factors are random, prompts (rows) and seeds (columns), with one figure in a cell:
    the mean has the variance (MS_rows + MS_columns - MS_rest) / N, and the degrees of freedom of
    Satterthwaite (1946), https://doi.org/10.2307/3002019. Columns are left out where an F test
    does not see them at 5 %: the mean square of two seeds has one degree of freedom, and would
    make nearly every interval several times as wide for nothing.
    """
    rows, columns = table.shape
    table = table - table.mean()
    of_rows, of_columns = table.mean(dim=1, keepdim=True), table.mean(dim=0, keepdim=True)
    by_rows = columns * float(of_rows.square().sum()) / max(rows - 1, 1)
    by_columns = rows * float(of_columns.square().sum()) / max(columns - 1, 1)
    if rows == 1 or columns == 1:
        variance, freedom = by_rows + by_columns, rows * columns - 1.0
    else:
        free = (rows - 1) * (columns - 1)
        by_rest = float((table - of_rows - of_columns).square().sum()) / free
        if by_rest and fdtr(columns - 1, free, by_columns / by_rest) < _SEEN:
            variance, freedom = by_rows, rows - 1.0
        elif by_rows <= by_rest:
            variance, freedom = by_columns, columns - 1.0
        else:
            variance = by_rows + by_columns - by_rest
            spread = by_rows**2 / (rows - 1) + by_columns**2 / (columns - 1)
            freedom = max(1.0, variance**2 / spread) if spread else 1.0
    return math.sqrt(variance / table.numel()), freedom


def _check(confidence: float) -> None:
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"Expected `confidence` to be in (0, 1), but got {confidence}.")


def _at_least(interval: Interval, error: float, freedom: float) -> Interval:
    """Widen an interval to that of a standard error and its degrees of freedom."""
    half = float(stdtrit(freedom, (1.0 + interval.confidence) / 2)) * error
    low, high = interval.value - half, interval.value + half
    return replace(interval, low=min(interval.low, low), high=max(interval.high, high))


def interval_of(
    statistic: Callable[[Tensor], Tensor], resamples: Resamples, confidence: float = 0.95
) -> Interval:
    """Give a figure of a whole set, such as a kernel distance, with its interval.

    The ends are percentiles of the resampled figures, moved out as Student's t asks for few
    prompts (Hesterberg 2014, the "expanded percentile interval", https://arxiv.org/abs/1411.5279).
    No resample of a handful of prompts lies far enough out; there the interval is at least that of
    Student's t with the spread of the resampled figures.

    Args:
        statistic: From (R, N) weights of the samples to (R,) figures, not a number where a
            resample allows none.
        resamples: As `resample` draws them.
        confidence: How often the interval should hold the true figure, in (0, 1).

    Returns:
        The figure of the set itself, with its interval.

    Raises:
        ValueError: If `confidence` is not in (0, 1).
    """
    _check(confidence)
    value = float(statistic(torch.ones_like(resamples.weights[:1])))
    figures = statistic(resamples.weights).double().cpu()
    return _of_few(value, figures, resamples.levels, confidence)


def _of_few(value: float, figures: Tensor, levels: int, confidence: float) -> Interval:
    found = _percentiles(value, figures, levels, confidence)
    if levels >= _FEW:
        return found
    spread = float(figures[~figures.isnan()].std(correction=0))
    return _at_least(found, spread * math.sqrt(levels / (levels - 1)), levels - 1.0)


def _percentiles(value: float, figures: Tensor, levels: int, confidence: float) -> Interval:
    tail = _expanded_tail((1.0 - confidence) / 2, levels)
    ends = torch.tensor([tail, 1.0 - tail], dtype=torch.float64)
    low, high = figures.nanquantile(ends).tolist()
    return Interval(value, low, high, confidence)


def _expanded_tail(tail: float, levels: int) -> float:
    normal = NormalDist()
    z, freedom = -normal.inv_cdf(tail), levels - 1
    # Student's t quantile by its expansion in 1 / freedom (Abramowitz & Stegun 26.7.5)
    t = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return normal.cdf(-t * (levels / freedom) ** 0.5)


def paired_interval(
    tuned: Tensor,
    base: Tensor,
    prompts: Sequence[Hashable],
    seeds: Sequence[int],
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Give the mean difference from the base, paired by prompt and seed, with its interval.

    What a prompt or a seed does to both falls out, so that a difference is seen with far fewer
    samples than two separate intervals would need.

    Args:
        tuned: (N,) one figure per sample of the tuned model.
        base: (N,) the base's, of the same prompts and seeds in the same order.
        prompts: N prompts, or any names of them.
        seeds: N seeds.
        confidence: How often the interval should hold the true difference, in (0, 1).
        seed: Seed of the draws.

    Returns:
        The mean of tuned less base, with its interval.

    Raises:
        ValueError: If the numbers differ, or a pair of prompt and seed occurs twice.
    """
    if tuned.shape != base.shape:
        raise ValueError(
            f"Expected a sample of the base for each of the tuned model, but got {len(base)} and "
            f"{len(tuned)}."
        )
    if len(set(zip(prompts, seeds, strict=True))) < len(prompts):
        raise ValueError("Expected each pair of prompt and seed once, but one occurs twice.")
    return bootstrap_interval(tuned - base, prompts, seeds, confidence, seed)
