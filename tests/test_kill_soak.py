"""Killed runs equal those that were not; `python -m tests.kill_soak 1000` kills more of them."""

import os
from collections.abc import Iterator

import pytest

from sdtune.files.json_file import write_json
from tests.kill_bench import Bench, Tally
from tests.kill_sweep import sample, sweep
from tests.killed_cases import CASES
from tests.killed_runs import lost_points, torn_files
from tests.picture_folders import make_picture_folder

_SWEPT = "lora, dropout, accumulation"

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    return Bench(tmp_path_factory.mktemp("kills"))


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_equals_one_that_is_not(bench):
    tally = Tally()
    bench.trial(0, "lora", (2, 2), tally)
    assert tally.failures == []
    assert tally.kills >= 1
    assert tally.survived == tally.kills
    assert tally.resumed >= 1
    assert (tally.torn, tally.lost) == (0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*CASES} - {"lora", _SWEPT}))  # which others kill
def test_every_technique_and_optimizer_survives_a_kill(bench, name):
    tally = Tally()
    sample(bench, name, tally)
    assert tally.failures == []
    assert (tally.kills, tally.survived, tally.resumed) == (1, 1, 1)
    assert (tally.torn, tally.lost) == (0, 0)


@pytest.mark.slow
def test_a_run_goes_on_from_every_checkpoint_that_a_kill_may_leave(bench):
    """Also from those of runs that were resumed themselves, and killed before their next step."""
    tally = Tally()
    sweep(bench, _SWEPT, tally, most=3)
    assert tally.failures == []
    assert (tally.kills, tally.survived, tally.resumed) == (3, 3, 3)
    assert (tally.torn, tally.lost) == (0, 0)


@pytest.mark.slow
def test_what_is_not_equal_is_noticed(bench, monkeypatch):
    """A run of other steps is no repetition: the comparison sees it."""
    expected, operations, seconds = bench.reference("lora")
    changed = {**expected, "train/loss": expected["train/loss"][:-1]}
    monkeypatch.setitem(bench._references, "lora", (changed, operations, seconds))
    tally = Tally()
    bench.trial(36, "lora", (1, 1), tally)  # of this seed: killed soon
    assert len(tally.failures) == 1
    assert "['train/loss'] differ" in tally.failures[0]
    assert tally.survived == 0


def test_what_is_lost_and_torn_is_counted(tmp_path):
    expected = {"loss": [(1, 0.5), (2, 0.4)], "leftovers": [], "a.png": "hash"}
    assert lost_points(expected, expected) == 0
    assert lost_points(expected, {"loss": [(1, 0.5), (1, 0.5)]}) == 2
    make_picture_folder(tmp_path, 1)
    write_json(tmp_path / "whole.json", {})
    assert torn_files(tmp_path) == []
    for name in ("disc_0.png", "whole.json"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
    (tmp_path / "a.safetensors").write_bytes(b"half")
    (tmp_path / "last.ckpt").write_bytes(b"half")
    assert [each.name for each in torn_files(tmp_path)] == [
        "a.safetensors",
        "disc_0.png",
        "last.ckpt",
        "whole.json",
    ]
