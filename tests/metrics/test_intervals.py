from __future__ import annotations

import itertools
from statistics import NormalDist

import pytest
import torch

from sdtune.metrics.intervals import (
    _FEW,
    Interval,
    Resamples,
    _expanded_tail,
    _random_effects,
    bootstrap_interval,
    has_spread,
    interval_of,
    paired_interval,
    resample,
    verdict,
)

PROMPTS, SEEDS = zip(*itertools.product([f"prompt {i}" for i in range(8)], range(4)), strict=True)


def _effects(case: int, of_prompts: float, of_seeds: float, rest: float) -> torch.Tensor:
    """Draw a figure per prompt and seed: an effect of each, and of neither."""
    generator = torch.Generator().manual_seed(case)
    prompts = of_prompts * torch.randn(8, 1, generator=generator)
    seeds = of_seeds * torch.randn(1, 4, generator=generator)
    return (prompts + seeds + rest * torch.randn(8, 4, generator=generator)).flatten()


def test_weights_are_drawn_by_whole_prompts_and_seeds():
    weights = resample(PROMPTS, SEEDS, 50).weights.reshape(50, 8, 4)
    of_prompts, of_seeds = weights.sum(dim=2) / 4, weights.sum(dim=1) / 8
    torch.testing.assert_close(weights, of_prompts[:, :, None] * of_seeds[:, None, :])
    assert (weights == weights.round()).all()
    assert (weights.sum(dim=(1, 2)) == 32).all()
    assert of_prompts.var() == pytest.approx(7 / 8, rel=0.2)


def test_weights_follow_the_names_not_the_order():
    order = torch.randperm(32, generator=torch.Generator().manual_seed(0))
    shuffled = resample([PROMPTS[i] for i in order], [SEEDS[i] for i in order], 5)
    assert (shuffled.weights.sum(dim=1) == 32).all()


def test_the_same_seed_gives_the_same_interval():
    values = _effects(0, 1, 1, 1)
    one = bootstrap_interval(values, PROMPTS, SEEDS)
    assert one == bootstrap_interval(values, PROMPTS, SEEDS)
    assert one != bootstrap_interval(values, PROMPTS, SEEDS, seed=1)
    assert one.low < one.value < one.high
    assert one.value == pytest.approx(float(values.mean()))


@pytest.mark.parametrize(
    ("of_prompts", "of_seeds", "rest"), [(1.0, 0.0, 0.3), (1.0, 0.3, 1.0), (0.0, 0.0, 1.0)]
)
def test_the_interval_holds_the_truth_at_least_as_often_as_it_says(of_prompts, of_seeds, rest):
    """0.95 less three standard deviations of what 300 cases give; more where nothing clusters."""
    cases = [_effects(case, of_prompts, of_seeds, rest) for case in range(300)]
    intervals = [bootstrap_interval(case, PROMPTS, SEEDS) for case in cases]
    share = sum(each.low <= 0 <= each.high for each in intervals) / len(intervals)
    assert share > 0.912


@pytest.mark.parametrize(
    ("prompts", "seeds", "of_prompts", "of_seeds", "rest", "most"),
    [
        (2, 2, 1.0, 0.3, 1.0, 0.05),
        (3, 2, 1.0, 0.3, 1.0, 0.07),
        (3, 2, 1.0, 0.0, 0.3, 0.09),
        (4, 1, 1.0, 0.0, 0.3, 0.09),
        (1, 3, 0.0, 1.0, 0.3, 0.09),
        (6, 2, 0.1, 1.0, 0.3, 0.2),  # two seeds by which nearly all is decided
    ],
)
def test_a_difference_that_is_none_is_hardly_ever_seen(
    prompts, seeds, of_prompts, of_seeds, rest, most
):
    generator = torch.Generator().manual_seed(7)
    names = list(zip(*itertools.product(range(prompts), range(seeds)), strict=True))
    wrong = 0
    for _ in range(200):
        values = of_prompts * torch.randn(prompts, 1, generator=generator)
        values = values + of_seeds * torch.randn(1, seeds, generator=generator)
        values = values + rest * torch.randn(prompts, seeds, generator=generator)
        difference = bootstrap_interval(values.flatten(), *names)
        wrong += verdict(difference, higher_is_better=True) in ("better", "worse")
    assert wrong / 200 <= most


@pytest.mark.parametrize("of_seeds", [False, True])
def test_of_one_factor_it_is_at_least_student_s(of_seeds):
    values = torch.tensor([1.0, 2.0, 4.0, 9.0], dtype=torch.float64)
    many, one = list(range(4)), [0] * 4
    interval = bootstrap_interval(values, *((one, many) if of_seeds else (many, one)))
    half = 3.182446 * float(values.std()) / 2  # t of 3 degrees of freedom
    assert (interval.low, interval.high) == pytest.approx((4.0 - half, 4.0 + half), rel=0.02)


def test_a_mean_of_prompts_and_seeds_has_the_variance_of_random_effects():
    generator = torch.Generator().manual_seed(0)
    means, variances = [], []
    for _ in range(2000):
        table = torch.randn(5, 1, generator=generator) + torch.randn(1, 3, generator=generator)
        table = table.double() + 0.3 * torch.randn(5, 3, generator=generator)
        means.append(table.mean())
        variances.append(_random_effects(table)[0] ** 2)
    expected = 1 / 5 + 1 / 3 + 0.09 / 15
    assert float(torch.stack(means).var()) == pytest.approx(expected, rel=0.1)
    assert float(torch.tensor(variances).mean()) == pytest.approx(expected, rel=0.05)


def test_seeds_count_where_they_are_seen_to_matter():
    generator = torch.Generator().manual_seed(0)
    rest = torch.randn(8, 2, generator=generator, dtype=torch.float64)
    prompts_alone = float(rest.mean(dim=1).var() / 8) ** 0.5
    assert _random_effects(rest) == (pytest.approx(prompts_alone), 7.0)
    error, freedom = _random_effects(rest + torch.tensor([3.0, -3.0]))
    assert error == pytest.approx(3.0, rel=0.2)  # of two values 6 apart
    assert freedom == pytest.approx(1.0, abs=0.1)


def test_where_a_pair_is_missing_the_bootstrap_s_spread_decides():
    prompts, seeds = ["a", "a", "b", "b", "c"], [0, 1, 0, 1, 0]
    values = torch.tensor([1.0, 2.0, 4.0, 5.0, 9.0])
    resamples = resample(prompts, seeds)
    expected = interval_of(lambda rows: rows @ values.double() / rows.sum(dim=1), resamples)
    assert bootstrap_interval(values, prompts, seeds) == expected
    assert expected.high - expected.value > 4.3 * 1.0  # t of 2 degrees of freedom


@pytest.mark.parametrize(("levels", "t"), [(6, 2.5706), (13, 2.1788), (1001, 1.9623)])
def test_the_tail_is_student_s(levels, t):
    wanted = NormalDist().cdf(-t * (levels / (levels - 1)) ** 0.5)
    assert _expanded_tail(0.025, levels) == pytest.approx(wanted, rel=0.1)


def test_samples_of_one_prompt_are_not_independent():
    """Intervals that ignore it are several times too narrow."""
    values = _effects(0, 1, 0, 0.1)
    clustered = bootstrap_interval(values, PROMPTS, SEEDS)
    ignorant = bootstrap_interval(values, range(32), [0] * 32)
    assert clustered.high - clustered.low > 1.5 * (ignorant.high - ignorant.low)


def test_pairs_show_what_separate_intervals_hide():
    base = _effects(0, 1, 1, 0)
    tuned = base + 0.2 + _effects(1, 0, 0, 0.1)
    separate = bootstrap_interval(tuned, PROMPTS, SEEDS)
    difference = paired_interval(tuned, base, PROMPTS, SEEDS)
    assert separate.low < base.mean() < separate.high
    assert difference.value == pytest.approx(float((tuned - base).mean()))
    assert verdict(difference, higher_is_better=True) == "better"
    assert verdict(difference, higher_is_better=False) == "worse"
    nothing = paired_interval(base + _effects(2, 0, 0, 0.1), base, PROMPTS, SEEDS)
    assert verdict(nothing, higher_is_better=True) == "no difference seen"


def test_an_interval_that_touches_0_covers_it():
    assert verdict(Interval(0.1, 0.0, 0.2), higher_is_better=True) == "no difference seen"
    assert verdict(Interval(0.0, 0.0, 0.0), higher_is_better=True) == "no difference seen"


def test_a_statistic_of_the_set_is_resampled_whole():
    values = _effects(0, 1, 1, 1).double()
    resamples = resample(PROMPTS, SEEDS)

    def maximum(rows: torch.Tensor) -> torch.Tensor:
        return torch.where(rows > 0, values, -torch.inf).amax(dim=1)

    interval = interval_of(maximum, resamples)
    assert interval.value == interval.high == pytest.approx(float(values.max()))
    assert interval.low < interval.value


def test_resamples_without_a_figure_are_left_out():
    prompts, seeds = ["a", "b"], [0, 1]
    weights = resample(prompts, seeds).weights
    assert (weights.sum(dim=1) == 0).any()
    figures = torch.tensor([0.0, 1.0], dtype=torch.float64)
    interval = interval_of(
        lambda rows: rows @ figures / rows.sum(dim=1), Resamples(weights, levels=_FEW)
    )
    assert (interval.low, interval.value, interval.high) == (0.0, 0.5, 1.0)


@pytest.mark.parametrize("value", [9.61, 1.0, -0.3])
def test_samples_that_are_all_alike_allow_no_interval_and_no_verdict(value):
    """One prompt and two seeds that give the same picture."""
    tuned, base = torch.full((2,), value), torch.zeros(2)
    difference = paired_interval(tuned, base, ["a", "a"], [0, 1])
    assert difference.value == pytest.approx(value)
    assert not has_spread(difference.low, difference.high)
    assert verdict(difference, higher_is_better=True) == "no interval"
    same = paired_interval(tuned, tuned, ["a", "a"], [0, 1])
    assert verdict(same, higher_is_better=True) == "no difference seen"
    assert has_spread(value, value + 1e-3)


def test_what_allows_no_interval_is_refused():
    with pytest.raises(ValueError, match="at least two prompts or two seeds"):
        bootstrap_interval(torch.zeros(2), ["a", "a"], [0, 0])
    with pytest.raises(ValueError, match="a prompt and a seed per sample, but got 2 and 1"):
        resample(["a", "b"], [0])
    with pytest.raises(ValueError, match="one value per sample, but got 3 for 2"):
        bootstrap_interval(torch.zeros(3), ["a", "b"], [0, 0])
    with pytest.raises(ValueError, match=r"`confidence` to be in \(0, 1\), but got 95"):
        bootstrap_interval(torch.zeros(2), ["a", "b"], [0, 0], confidence=95)
    with pytest.raises(ValueError, match="sample of the base for each"):
        paired_interval(torch.zeros(2), torch.zeros(3), ["a", "b"], [0, 0])
    with pytest.raises(ValueError, match="once, but one occurs twice"):
        paired_interval(torch.zeros(3), torch.zeros(3), ["a", "b", "a"], [0, 0, 0])
