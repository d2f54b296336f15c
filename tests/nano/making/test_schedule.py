"""The trapezoid schedule."""

from __future__ import annotations

import pytest

from sdtune.nano.making.schedule import trapezoid


def test_it_rises_stays_and_falls_to_zero() -> None:
    factors = [trapezoid(step, warmup_steps=4, decay_steps=4, max_steps=12) for step in range(13)]
    assert factors == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0])
