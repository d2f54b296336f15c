"""How fast training is, as ratios to other loops in the same process and at the same time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sdtune.bench.paired_timer import PairedTimer
from sdtune.bench.random_bases import random_base
from tests.benchmarks.suite import TECHNIQUES, measure_overhead, measure_textual_inversion

# what `python -m tests.benchmarks` has to show on an idle machine is 0.95; what runs beside this
# takes its share of the caches, which costs the many small steps between the networks more: with
# three at work on two cores it was 0.92 at best
_LEAST = 0.88


def _reaches(ratio: float, measure: Callable[[], PairedTimer], name: str, attempts: int = 6) -> str:
    """Return what was measured if no attempt reached a ratio: noise makes some slower."""
    found = []
    for _ in range(attempts):
        found.append(measure().ratio(name))
        if found[-1] >= ratio:
            return ""
    return f"{', '.join(f'{each:.3f}' for each in found)} times as fast as {name}, not {ratio}"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["style_lora", "textual_inversion", "dreambooth"])  # parts of all
def test_a_technique_costs_little_beside_the_networks(name: str, tmp_path: Path) -> None:
    def measure() -> PairedTimer:
        return measure_overhead(TECHNIQUES[name], tmp_path, rounds=3, steps_per_round=1)

    assert not _reaches(_LEAST, measure, "bare")


@pytest.mark.slow
def test_textual_inversion_is_twice_as_fast_as_with_the_whole_table(tmp_path: Path) -> None:
    base = str(random_base("small", tmp_path))

    def measure() -> PairedTimer:
        return measure_textual_inversion(base, tmp_path, rounds=3, beside=("plain",))

    assert not _reaches(2.0, measure, "plain")
