"""Every kill after which a resume finds something else on the disk, and every kill after those.

    python -m tests.kill_soak 1000 --everywhere --case "lora, dropout, accumulation"

A run's folder is copied before each of its operations on the disk: that is what a kill there
leaves. Copies that a resume cannot tell apart are one state. From each state the run goes on, and
is copied on its way, until no new state turns up. So neither the moments of the kills nor their
number are left to chance. What a process has written and not flushed is in no copy, as after a
kill.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from sdtune.run_folder.checkpoints import MANIFEST, Manifest, find_checkpoint
from sdtune.run_folder.event_files import EVENT_FILES
from sdtune.run_folder.resumes import RESUMES
from tests.kill_bench import Bench, Tally
from tests.killed_cases import STEPS
from tests.killed_runs import outcome, spelled, torn_files

__all__ = ["sample", "sweep"]

_OWN_NAMES = re.compile(r"[0-9a-f]{32,}")
_NEVER_WRITTEN_INTO = {".ckpt", ".safetensors", ".png", ".jsonl"}
"""Suffixes of files that are replaced by others and not changed: a second name is a copy."""


@dataclass(frozen=True)
class _State:
    """What a kill has left.

    Attributes:
        story: The kills that led to it.
        place: The copy; None for nothing, from which the undisturbed run starts.
        checkpoint: What a run goes on from there; empty if it begins anew.
    """

    story: str
    place: Path | None = None
    checkpoint: str = ""


def sweep(bench: Bench, case_name: str, tally: Tally, most: int) -> int:
    """Go on from the states that kills may leave, and compare the ends.

    First from those whose checkpoint was gone on from least often, and of these the newest.

    Args:
        bench: What starts runs.
        case_name: Which of `CASES`.
        tally: Counts; a state is a kill.
        most: Of how many states to go on.

    Returns:
        How many states are known and were not gone on from; 0 if none is left.
    """
    expected: dict[str, Any] = {}
    run, copies, kept = (bench.folder / name for name in ("sweep", "copies", "states"))
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir()
    waiting, known, tried = [_State("undisturbed")], set[str](), Counter[str]()

    def act(number: int) -> None:
        if tried.total() <= most:  # from states of the last run none would be gone on
            _copy(run, copies / str(number))

    while waiting and tried.total() <= most:
        state = min(reversed(waiting), key=lambda each: tried[each.checkpoint])
        waiting.remove(state)
        tried[state.checkpoint] += 1
        _restore(state, run)
        copies.mkdir()
        ended = bench.start(case_name, run, act=act)
        if state.place is None and ended == 0:
            expected = outcome(run / "run")
        is_equal = bench.is_equal(f"{case_name}, {state.story}", ended, run, expected, tally)
        if state.place is not None:
            tally.kills += 1
            tally.survived += is_equal
            tally.resumed += state.checkpoint != ""
            shutil.rmtree(state.place)
        for name, (number, copied) in _distinct(copies).items():
            if name not in known:
                known.add(name)
                tally.failures += [f"{state.story}: {each} is torn" for each in torn_files(copied)]
                place = copied.rename(kept / str(len(known)))
                story = f"{state.story.removeprefix('undisturbed')} killed at {number}".strip()
                waiting.append(_State(story, place, _checkpoint_in(place)))
        shutil.rmtree(copies)
    return len(waiting)


def sample(bench: Bench, case_name: str, tally: Tally, every: int = 8) -> None:
    """Go on from one of the states that kills may leave, and compare with the run that went on.

    Two runs in all: the first is what the second is compared with, and is copied on its way.

    Args:
        bench: What starts runs.
        case_name: Which of `CASES`.
        tally: Counts; the state is a kill.
        every: Before each so many of its operations the first run is copied.
    """
    run, copies = bench.folder / "sampled", bench.folder / "samples"
    for each in (run, copies):
        shutil.rmtree(each, ignore_errors=True)

    def act(number: int) -> None:
        if number % every == 0:
            _copy(run, copies / str(number))

    if bench.start(case_name, run, act=act) != 0:
        tally.failures.append(f"{case_name}: failed undisturbed\n{(run / 'log').read_text()}")
        return
    expected = outcome(run / "run")
    numbers = sorted(int(each.name) for each in copies.iterdir())
    torn = [each for number in numbers for each in torn_files(copies / str(number))]
    tally.torn += len(torn)
    going_on = [number for number in numbers if 0 < _step_in(copies / str(number)) < STEPS]
    number = going_on[len(going_on) // 2]
    place = copies / str(number)
    _restore(_State(f"killed at {number}", place, _checkpoint_in(place)), run)
    tally.kills += 1
    tally.resumed += 1
    ended = bench.start(case_name, run)
    what = f"{case_name}, killed at {number}"
    tally.survived += bench.is_equal(what, ended, run, expected, tally)


def _distinct(copies: Path) -> dict[str, tuple[int, Path]]:
    """Find the states among copies, each as it was last: then leftovers lie there."""
    found = {}
    for number in sorted(int(each.name) for each in copies.iterdir()):
        copied = copies / str(number)
        found[_fingerprint(copied)] = number, copied
    return found


def _copy(run: Path, place: Path) -> None:
    def copy(source: str, target: str) -> None:
        if Path(source).suffix in _NEVER_WRITTEN_INTO:
            os.link(source, target)
        else:
            shutil.copyfile(source, target)

    shutil.copytree(run, place, ignore=shutil.ignore_patterns("log"), copy_function=copy)


def _restore(state: _State, run: Path) -> None:
    """Put what a kill has left in its place; without a checkpoint a run begins anew."""
    shutil.rmtree(run, ignore_errors=True)
    if state.place is not None:
        _copy(state.place, run)
        if not state.checkpoint:
            shutil.rmtree(run / "run", ignore_errors=True)


def _fingerprint(run: Path) -> str:
    """Name all that a start may go by: two states of one name are one."""
    room = run if _checkpoint_in(run) else run / "cache"
    return _sum("\n".join(sorted(_told(room))).encode())


def _told(room: Path) -> Iterator[str]:
    for path in room.rglob("*"):
        name = _OWN_NAMES.sub("*", str(path.relative_to(room)))
        if path.is_dir() or path.suffix == ".tmp" or path.name == RESUMES:
            continue  # leftovers are deleted, and starts written down, whatever is there
        if path.match(EVENT_FILES):
            continue  # what is kept of it is that of the checkpoint
        elif path.name == MANIFEST:
            yield f"{name} {_of_manifest(path)}"
        else:
            yield f"{name} {_content(path)}"


def _of_manifest(path: Path) -> list[Any]:
    manifest = Manifest.load(path.parent)
    if manifest is None:
        return [path.read_bytes()]
    there = {_sum(each.read_bytes()) for each in path.parent.glob("*.ckpt")}
    return [(each.step, each.sha256 in there) for each in manifest.checkpoints]


def _checkpoint_in(run: Path) -> str:
    path, _ = find_checkpoint(run / "run" / "checkpoints")
    return "" if path is None else _content(path)


def _step_in(run: Path) -> int:
    manifest = Manifest.load(run / "run" / "checkpoints")
    return manifest.checkpoints[0].step if manifest is not None and _checkpoint_in(run) else 0


def _content(path: Path) -> str:
    content = path.read_bytes()
    return _of_checkpoint(content) if path.suffix == ".ckpt" else _sum(content)


@cache
def _of_checkpoint(content: bytes) -> str:
    return _sum("".join(spelled(torch.load(BytesIO(content), weights_only=True))).encode())


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
