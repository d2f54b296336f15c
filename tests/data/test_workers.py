import os
from pathlib import Path

import pytest

from sdtune.data.pictures import Picture
from sdtune.data.workers import choose_workers


def _pictures(side, count=10):
    return [Picture(Path("a.png"), "a.png", "a", known_size=(side, side))] * count


@pytest.mark.parametrize(
    ("cores", "processes", "side", "expected"),
    [
        (2, 1, 1000, 2),
        (16, 1, 1000, 8),
        (16, 4, 1000, 4),
        (4, 4, 1000, 0),  # none is left beside those that train
        (16, 1, 128, 0),  # read sooner than handed over
    ],
)
def test_workers_share_the_cores_where_reading_takes_long(
    monkeypatch, cores, processes, side, expected
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(cores), raising=False)
    assert choose_workers(_pictures(side), processes) == expected
    assert choose_workers([], processes) == 0
