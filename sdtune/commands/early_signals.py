"""Signals before a command listens to them itself, such as while libraries are imported."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

__all__ = ["Ended", "ended_by_signals_early", "leave_signals"]

_NAMES = ("SIGTERM", "SIGUSR1", "SIGUSR2")  # Ctrl-C is an exception of Python's
_SIGNALS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))


class Ended(BaseException):
    """A signal came that ends the process.

    Attributes:
        number: The signal's number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def ended_by_signals_early() -> Iterator[None]:
    """Make signals that would kill raise, so that what was begun is cleaned up.

    Whatever listens later takes their place. Processes that are forked from this one are killed by
    them as ever.

    Yields:
        Nothing.

    Raises:
        Ended: When one comes.
    """
    process = os.getpid()

    def end(number: int, frame: FrameType | None) -> None:
        if os.getpid() == process:
            raise Ended(number)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    is_main = threading.current_thread() is threading.main_thread()  # no other may set handlers
    free = [each for each in _SIGNALS if is_main and signal.getsignal(each) is signal.SIG_DFL]
    for each in free:
        signal.signal(each, end)
        _OURS[each] = end
    dropped = sys.unraisablehook
    if free:
        sys.unraisablehook = partial(_come_again, dropped)
    try:
        yield
    finally:
        if free:
            sys.unraisablehook = dropped
            leave_signals()


def leave_signals() -> None:
    """Let signals kill again, as far as nothing else listens to them by now."""
    for number, handler in list(_OURS.items()):
        if signal.getsignal(number) is handler:
            signal.signal(number, signal.SIG_DFL)
        del _OURS[number]


def _come_again(otherwise: Callable[[Any], object], dropped: Any) -> None:
    """Let a signal that came while a finalizer ran, where Python drops exceptions, come again."""
    if not isinstance(dropped.exc_value, Ended):
        otherwise(dropped)
        return
    main = threading.main_thread().ident
    again = threading.Timer(_LATER, signal.pthread_kill, (main, dropped.exc_value.number))
    again.daemon = True
    again.start()


_OURS: dict[int, object] = {}
_LATER = 0.02  # seconds: the finalizer is over
