"""A command of sdtune in a process of its own, which is asked to stop as often as this one is."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Self

from sdtune.run_folder.run_process import ONE_ASKING

__all__ = ["start_process"]

_ASK_TO_STOP = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
)
_PATIENCE = 2  # askings; who asks once more is tired of waiting


def start_process(command: Sequence[str], log: Path) -> int:
    """Run a command of sdtune in a fresh process.

    Of what asks this process to stop, Ctrl-C at a terminal included, the other gets one signal for
    each asking, after the first of which it may save its state. It is waited for.

    Args:
        command: Words, the first of which is `sdtune`.
        log: File that its output is appended to.

    Returns:
        Its exit code.
    """
    with log.open("a", encoding="utf-8") as output, _Relay() as relay:
        print("$", shlex.join(command), file=output, flush=True)
        # else a terminal signals it too, and the second signal ends it at once, without a
        # checkpoint; Windows, where ending is killing, leaves Ctrl-C to its console alone
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=os.name == "posix",
        )
        try:
            relay.to(process)
            return process.wait()
        finally:
            if process.poll() is None:  # this process was interrupted in another way
                process.terminate()
                process.wait()


class _Relay:
    """Passes signals on to a process, and lets this one have the first when the other has ended.

    In a thread beside the main one, where Python lets nobody handle signals, nothing is passed on.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._before: dict[int, Any] = {}
        self._first: int | None = None
        self._latest = -ONE_ASKING
        self._askings = 0

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for each in _ASK_TO_STOP:
                if signal.getsignal(each) not in (signal.SIG_IGN, None):
                    self._before[each] = signal.signal(each, self._note)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._first is None or kind is not None:
            return
        handler = self._before[self._first]
        if not callable(handler):  # it would kill this process, and its record would be lost
            raise SystemExit(128 + self._first)
        handler(self._first, None)

    def to(self, process: subprocess.Popen[bytes]) -> None:
        """Take a process to pass signals on to, those too that have come already."""
        self._process = process
        if self._askings:
            process.terminate()

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        is_same, self._latest = now - self._latest < ONE_ASKING, now
        if is_same and self._askings:
            return
        self._first = self._first or number
        self._askings += 1
        if self._process is None:
            return
        if self._askings > _PATIENCE:
            self._process.kill()
        elif os.name == "posix":
            self._process.terminate()
