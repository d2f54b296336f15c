"""Runs in processes of their own, which can be killed, and what came of them."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

import torch
from PIL import Image

from sdtune.run_folder.checkpoints import Manifest, find_checkpoint
from sdtune.techniques.lora_style import LoRAStyleModule
from tests.killed_cases import CASES, STEPS, train
from tests.killed_runs import lost_points, outcome, torn_files
from tests.picture_folders import make_picture_folder
from tests.tiny_models import make_micro_sd

__all__ = ["Bench", "Tally"]

_DISK = {"open", "os.rename", "os.link", "os.remove", "os.truncate", "os.mkdir", "shutil.rmtree"}
_WRITING = os.O_WRONLY | os.O_RDWR


@dataclass
class Tally:
    """What came of the kills.

    Attributes:
        kills: How many processes were killed.
        survived: Kills of runs that ended equal to the last bit.
        resumed: Kills after which there was a checkpoint to go on from.
        runs: Runs that came to their end.
        torn: Files with names of their own that could not be read after a kill.
        lost: Points of curves that were missing at the end, or there twice.
        seed: Of the next trial.
        seconds: All that it took.
        failures: What was not equal, with the words that repeat it.
    """

    kills: int = 0
    survived: int = 0
    resumed: int = 0
    runs: int = 0
    torn: int = 0
    lost: int = 0
    seed: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.survived} of {self.kills} kills survived, {self.resumed} resumed, "
            f"{self.runs} runs, {self.torn} torn files, {self.lost} lost points, "
            f"{len(self.failures)} failures, {self.seconds:.0f} s"
        )


class Bench:
    """A model, pictures, and what undisturbed runs have left.

    Args:
        folder: Where everything is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.base = make_micro_sd(folder / "base")
        self.pictures = make_picture_folder(folder / "pictures", 6)
        self._references: dict[str, tuple[dict[str, Any], int, float]] = {}
        # what a process would import late is imported here, once, and not after every fork
        import_module("torch.utils.tensorboard")
        Image.init()
        for _ in range(2):  # in the tests a base that was loaded twice is kept in memory
            LoRAStyleModule(str(self.base)).load_base()

    def trial(self, seed: int, case_name: str | None, kills: tuple[int, int], tally: Tally) -> None:
        """Kill a run and let it end, and count what came of it.

        Args:
            seed: Of the case, the number of kills and their moments.
            case_name: Which of `CASES`; None draws one.
            kills: How many kills there are at least and at most, unless the run ends before.
            tally: Counts.
        """
        draw = random.Random(seed)
        name = case_name or draw.choice(sorted(CASES))
        expected, operations, seconds = self.reference(name)
        run = self.folder / f"trial_{seed}"
        left, before = 1.0, tally.kills
        for _ in range(draw.randint(*kills)):
            if draw.random() < 0.5:
                ended = self.start(name, run, kill_at=int(draw.random() * operations * left))
            else:
                ended = self.start(name, run, kill_after=draw.random() * seconds * left)
            tally.kills += ended == -signal.SIGKILL
            torn = torn_files(run / "run")
            tally.torn += len(torn)
            tally.failures += [f"seed {seed}, {name}: {each} is torn" for each in torn]
            has_checkpoint = find_checkpoint(run / "run" / "checkpoints")[0] is not None
            left = _left(run / "run")
            tally.resumed += ended == -signal.SIGKILL and has_checkpoint
            if ended == 0:
                break
            if ended != -signal.SIGKILL:
                tally.failures.append(f"seed {seed}, {name}: failed\n{_log(run)}")
                return
            if not has_checkpoint:
                shutil.rmtree(run / "run", ignore_errors=True)  # a new run, in a folder of its own
        ended = self.start(name, run)
        if self.is_equal(f"seed {seed}, {name}", ended, run, expected, tally):
            tally.survived += tally.kills - before
            shutil.rmtree(run)

    def is_equal(
        self, what: str, ended: int, run: Path, expected: dict[str, Any], tally: Tally
    ) -> bool:
        """Compare what a run has left at its end, and count it.

        Args:
            what: Words that repeat it.
            ended: How its last process ended.
            run: The folder that holds its run folder.
            expected: What an undisturbed one has left.
            tally: Counts.

        Returns:
            Whether all is equal.
        """
        tally.runs += 1
        if ended != 0:
            tally.failures.append(f"{what}: the last start failed\n{_log(run)}")
            return False
        found = outcome(run / "run")
        tally.lost += lost_points(expected, found)
        if found != expected:
            differing = [
                key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key)
            ]
            tally.failures.append(f"{what}: {sorted(differing)} differ in {run}")
            return False
        return True

    def reference(self, name: str) -> tuple[dict[str, Any], int, float]:
        """Let a case run undisturbed, once.

        Args:
            name: Which of `CASES`.

        Returns:
            What it leaves, how often it writes, and its seconds.
        """
        if name not in self._references:
            run = self.folder / f"reference_{sorted(CASES).index(name)}"
            counted = run / "operations"
            begin = time.monotonic()
            ended = self.start(name, run, count_into=counted)
            seconds = time.monotonic() - begin
            if ended != 0:
                raise RuntimeError(f"{name} fails undisturbed:\n{_log(run)}")
            left = outcome(run / "run")
            self._references[name] = (left, int(counted.read_text()), seconds)
        return self._references[name]

    def start(
        self,
        name: str,
        run: Path,
        *,
        kill_at: int | None = None,
        kill_after: float | None = None,
        count_into: Path | None = None,
        act: Callable[[int], None] | None = None,
    ) -> int:
        """Start or resume a run in a process.

        Args:
            name: Which of `CASES`.
            run: The folder that holds its run folder and its cache.
            kill_at: Before which of its operations on the disk it is killed, from 0.
            kill_after: Seconds after which it is killed.
            count_into: File for the number of its operations.
            act: Called before each of them with its number, in the process.

        Returns:
            How it ended, as subprocess says it.
        """
        run.mkdir(parents=True, exist_ok=True)
        process = os.fork()
        if process == 0:
            code = 1
            try:
                os.setsid()
                # a compiler that ran before looks for CUDA, and no fork of a fork may do so again
                torch.cuda._is_in_bad_fork = lambda: False
                output = os.open(run / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
                os.dup2(output, 1)
                os.dup2(output, 2)
                counter = _watch_disk(run, _kill_at(kill_at) if act is None else act)
                train(CASES[name], self.base, self.pictures, run)
                if count_into is not None:
                    count_into.write_text(str(counter.value))
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        if kill_after is not None:
            end = time.monotonic() + kill_after
            while time.monotonic() < end:
                ended, status = os.waitpid(process, os.WNOHANG)
                if ended:
                    return os.waitstatus_to_exitcode(status)
                time.sleep(0.002)
            try:
                os.killpg(process, signal.SIGKILL)
            except ProcessLookupError:  # it has no group of its own yet
                os.kill(process, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def _left(run: Path) -> float:
    """Estimate which share of a run is still to be done."""
    manifest = Manifest.load(run / "checkpoints")
    return 1.0 if manifest is None else max(0.1, 1 - manifest.checkpoints[0].step / STEPS)


def _watch_disk(run: Path, act: Callable[[int], None]) -> Any:
    """Call with its number before each thing that a process and its own do to the disk there."""
    counter, place = multiprocessing.Value("i", 0), str(run)
    acting: int | None = None

    def see(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal acting
        if event not in _DISK or not str(arguments[0]).startswith(place):
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & _WRITING):
            return
        if acting == threading.get_ident():
            return
        with counter.get_lock():
            acting = threading.get_ident()
            act(counter.value)
            acting = None
            counter.value += 1

    sys.addaudithook(see)
    return counter


def _kill_at(number: int | None) -> Callable[[int], None]:
    process = os.getpid()

    def act(operation: int) -> None:
        if operation == number:
            os.killpg(process, signal.SIGKILL)

    return act


def _log(run: Path) -> str:
    return (run / "log").read_text(errors="replace")[-3000:]
