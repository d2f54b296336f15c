"""Pictures that processes share out are one process's, and nobody waits for what does not come."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from sdtune.evaluation.shared_drawing import SharedDrawing

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")

PROMPTS = [f"prompt {number}" for number in range(19)]
SEEDS = [*range(19)]


def pictures(prompts, seeds):
    """Draw what tells how many were drawn at once."""
    return torch.stack([torch.full((3, 2, 2), seed + len(prompts) / 100) for seed in seeds])


def in_processes(count: int, folder: Path, work: Callable[[SharedDrawing], None]) -> list[int]:
    """Run something in processes that know each other; return their exit codes."""
    children = []
    for rank in range(count):
        child = os.fork()
        if child:
            children.append(child)
            continue
        code = 1
        try:
            place = f"file://{folder}/meeting"
            dist.init_process_group("gloo", init_method=place, rank=rank, world_size=count)
            work(SharedDrawing())
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return [os.waitstatus_to_exitcode(os.waitpid(each, 0)[1]) for each in children]


@pytest.mark.parametrize("count", [2, 3, 4])
def test_the_groups_are_those_of_one_process(count, tmp_path):
    expected = torch.cat([pictures(PROMPTS[n : n + 8], SEEDS[n : n + 8]) for n in (0, 8, 16)])

    def work(drawing: SharedDrawing) -> None:
        drawn = drawing.draw(pictures, PROMPTS, SEEDS)
        assert (drawn is not None) == (dist.get_rank() == 0)
        assert drawn is None or torch.equal(drawn, expected)

    assert in_processes(count, tmp_path, work) == [0] * count


def test_what_the_first_asks_for_the_others_draw(tmp_path):
    drawn_by = tmp_path / "drawn"

    def noted(prompts, seeds):
        (drawn_by.with_suffix(f".{dist.get_rank()}")).write_text(" ".join(map(str, seeds)))
        return pictures(prompts, seeds)

    def work(drawing: SharedDrawing) -> None:
        draws = {"a": noted, "b": lambda *those: -pictures(*those)}
        if dist.get_rank():
            drawing.follow(draws)
            return
        with drawing.lead(draws) as shared:
            assert len(shared["a"](PROMPTS[:9], SEEDS[:9])) == 9
            assert (shared["b"](PROMPTS, SEEDS) <= 0).all()

    assert in_processes(2, tmp_path, work) == [0, 0]
    assert drawn_by.with_suffix(".0").read_text() == "0 1 2 3 4 5 6 7"
    assert drawn_by.with_suffix(".1").read_text() == "8"


@pytest.mark.parametrize("failing", [0, 1])
def test_all_end_when_one_cannot_draw(failing, tmp_path, capfd):
    def draw(prompts, seeds):
        if dist.get_rank() == failing:
            raise MemoryError("the GPU is full")
        return pictures(prompts, seeds)

    def work(drawing: SharedDrawing) -> None:
        if dist.get_rank():
            drawing.follow({"a": draw})
            return
        with drawing.lead({"a": draw}) as shared:
            shared["a"](PROMPTS, SEEDS)

    assert in_processes(3, tmp_path, work) == [1, 1, 1]
    printed = capfd.readouterr().err
    assert "MemoryError: the GPU is full" in printed
    assert "RuntimeError: The first process failed: " in printed
    assert ("Process 1 could not draw its share" in printed) == (failing == 1)


def test_one_process_draws_as_ever():
    drawing = SharedDrawing()
    assert torch.equal(drawing.draw(pictures, PROMPTS, SEEDS), pictures(PROMPTS, SEEDS))
    drawing.follow({})
    with drawing.lead({"a": pictures}) as shared:
        assert len(shared["a"](PROMPTS, SEEDS)) == 19
