"""The measure of benchmarks/style_front: areas and shares that can be worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchmarks.style_front.arms import ARMS
from benchmarks.style_front.front import (
    Curve,
    Pictures,
    area,
    intervals,
    kept_more,
    same_style_interval,
    style_at,
)
from benchmarks.style_front.plan import COMPARED, PLAN
from benchmarks.style_front.split import PROMPTS, STYLES, UNSEEN, styles_of

_PICTURES = Pictures([0, 0, 1, 1, 2, 2], [0, 1] * 3, [42] * 6)
_ONES = torch.ones(1, 6, dtype=torch.float64)


def _curve(*points: tuple[float, float]) -> Curve:
    """A line through points whose six pictures are all alike."""
    style, clip = torch.tensor(points, dtype=torch.float64).T
    return Curve(style[:, None].expand(-1, 6), clip[:, None].expand(-1, 6))


def _of(measure: object, curve: Curve, **more: float) -> float:
    assert callable(measure)
    found: Tensor = measure(*curve.places(_ONES), **more)
    return float(found)


def test_the_area_is_that_below_the_line() -> None:
    # kept falls from 100 % to 90 %: heights from 1 to 0.8 above the half, over a width of 0.5
    assert _of(area, _curve((0.1, 80.0), (0.6, 72.0))) == pytest.approx(0.45, abs=0.005)


def test_a_point_that_another_beats_in_both_adds_nothing() -> None:
    good = _curve((0.0, 80.0), (0.5, 72.0))
    worse_behind = _curve((0.0, 80.0), (0.5, 72.0), (0.4, 60.0))
    assert _of(area, worse_behind) == pytest.approx(_of(area, good))


def test_what_keeps_less_than_half_has_no_area() -> None:
    assert _of(area, _curve((0.0, 80.0), (1.0, 0.0))) == pytest.approx(0.25, abs=0.02)


def test_style_at_a_loss_is_where_the_line_crosses_it() -> None:
    line = _curve((0.1, 80.0), (0.9, 64.0))  # 0.8 of style at a loss of 20 %
    assert _of(style_at, line) == pytest.approx(0.4, abs=0.01)
    assert _of(style_at, line, loss=0.05) == pytest.approx(0.2, abs=0.01)


def test_two_ways_are_compared_as_far_as_both_reach() -> None:
    # at a style of x the one keeps 1 - x / 2 and the other 1 - x, on average 0.25 * 0.4 more to 0.4
    mild, harsh = _curve((0.0, 80.0), (0.8, 48.0)), _curve((0.0, 80.0), (0.4, 48.0))
    found = kept_more(*mild.places(_ONES), *harsh.places(_ONES))
    assert float(found) == pytest.approx(0.1, abs=0.01)
    assert float(kept_more(*harsh.places(_ONES), *mild.places(_ONES))) == -float(found)
    both = same_style_interval([mild] * 2, [harsh] * 2, _PICTURES)
    assert (both.low, both.value, both.high) == pytest.approx((float(found),) * 3)


def test_a_way_that_is_compared_with_itself_has_no_difference() -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(2, 2, 6, generator=generator, dtype=torch.float64)
    means = torch.tensor([0.0, 0.5], dtype=torch.float64)[:, None]
    noisy = [Curve(means + 0.3 * noise[0], 80 - 20 * means + 5 * noise[1])] * 2
    difference = intervals(area, noisy, _PICTURES, noisy)
    assert difference.value == difference.low == difference.high == 0.0
    own = intervals(area, noisy, _PICTURES, draw_styles=False)
    assert own.low < own.value < own.high


def test_trainings_are_drawn_too() -> None:
    # one training gives 0.2 of style and the other 0.6, whatever is drawn of it
    of = torch.tensor([0.2] * 6 + [0.6] * 6, dtype=torch.float64)
    zero, clip = torch.zeros(12, dtype=torch.float64), torch.full((2, 12), 80.0)
    line = [Curve(torch.stack([zero, of]), clip.double())]
    both = Pictures([*_PICTURES.prompts] * 2, [*_PICTURES.seeds] * 2, [42] * 6 + [43] * 6)
    found = intervals(style_at, line, both, draw_styles=False)
    assert found.value == pytest.approx(0.4)
    assert found.low < 0.2 + 1e-9  # Student's t asks for more where prompts are few
    assert found.high > 0.6 - 1e-9


def test_the_split_is_kept_apart() -> None:
    from sdtune.nano.making.sources import TRAINING_SOURCES

    plain = [style.source for style in STYLES.values() if style.operation is None]
    assert not set(plain) & set(TRAINING_SOURCES)  # nano was trained on none of the styles
    assert not set(styles_of("tuning")) & set(styles_of("held_out"))
    assert len(PROMPTS) == len(UNSEEN) == 12
    for side in ("tuning", "held_out"):
        planned = PLAN[side]
        assert {each.style for each in planned} <= set(styles_of(side))
        compared = {arm for arms, _ in COMPARED[side].values() for arm in arms}
        assert compared <= {each.arm for each in planned} <= set(ARMS)
    assert set(map(repr, PLAN["both"])) <= set(map(repr, PLAN["tuning"] + PLAN["held_out"]))
