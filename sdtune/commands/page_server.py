"""What the commands that serve a page have in common: a port, and signals that end them."""

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

__all__ = ["ended_by_signals", "port_problems"]

_PORTS = range(1024, 65536)


@contextmanager
def ended_by_signals() -> Iterator[Event]:
    """Let Ctrl-C, a closed terminal and SIGTERM end the page, and not the process at once.

    A page has no other end, so one that is ended by them is done, and the exit code is 0, as that
    of servers whom a system stops.

    Yields:
        What is set by them.
    """
    end = Event()
    names = [each for each in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, each)]
    before = {each: signal.signal(getattr(signal, each), lambda *_: end.set()) for each in names}
    try:
        yield end
    finally:
        for each, handler in before.items():
            signal.signal(getattr(signal, each), handler)


def port_problems(port: int | None) -> Iterator[str]:
    """Say what is wrong with the port of a call.

    Args:
        port: The port; None for one that is found.
    """
    if port is not None and port not in _PORTS:
        yield f"Expected `--port` to be from {_PORTS[0]} to {_PORTS[-1]}, but got {port}."
    elif port is not None and not _is_free(port):
        yield f"Expected `--port` to be free, but {port} is in use: leave it out, or take another."


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
