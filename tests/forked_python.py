"""A `python` for tests whose processes have imported everything when they start.

To import torch, Lightning, diffusers and transformers takes a processor nine seconds, and a test
that runs a dozen commands does little else. Here a process that has imported them is kept waiting,
and each call of `python -m MODULE ...` is a fork of it: a process of its own, with its own number,
arguments, environment, folder, signals and exit code; one that is killed is seen to be. What a
fresh interpreter alone shows (imports and their order, hashes of texts) is for other tests.
"""

from __future__ import annotations

import json
import logging
import os
import random
import runpy
import select
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric.utilities.rank_zero import _get_rank, rank_zero_only

__all__ = ["forked_python"]

_CLIENT = """\
#!{python} -IS
import json, os, signal, socket, sys
place = socket.socket(socket.AF_UNIX)
place.connect({address!r})
call = json.dumps([sys.argv[1:], dict(os.environ), os.getcwd()]).encode()
socket.send_fds(place, [len(call).to_bytes(8, "little")], [0, 1, 2])
place.sendall(call)
answers = place.makefile()
number = int(answers.readline())
for each in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP):
    signal.signal(each, lambda given, frame: os.kill(number, given))
code = int(answers.readline())
if code < 0:
    if -code != signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
"""
_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP, signal.SIGCHLD)
_SEED = 67280421310721  # torch's own at its start


@contextmanager
def forked_python(folder: Path) -> Iterator[Path]:
    """Keep a process waiting to be forked.

    Args:
        folder: Where its executable is put; made if absent. Its path must be short, for a socket.

    Yields:
        An executable named `python`, which takes `-m MODULE ...`. Signals that it gets are passed
        on to the process that it stands for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    executable, address = folder / "python", str(folder / "socket")
    executable.write_text(_CLIENT.format(python=sys.executable, address=address))
    executable.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as place:
        place.bind(address)
        place.listen()
        number = os.fork()
        if not number:
            _serve(place, executable)
        try:
            yield executable
        finally:
            os.kill(number, signal.SIGKILL)
            os.waitpid(number, 0)


def _serve(place: socket.socket, executable: Path) -> None:
    """Fork for each call, until the process of the tests is gone."""
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_DFL)
    parent = os.getppid()
    place.setblocking(False)
    told, tells = socket.socketpair()
    told.setblocking(False)
    tells.setblocking(False)
    callers: dict[int, socket.socket] = {}
    while os.getppid() == parent:
        signal.set_wakeup_fd(tells.fileno())
        signal.signal(signal.SIGCHLD, lambda given, frame: None)
        select.select([place, told], [], [], 1.0)
        with suppress(BlockingIOError):
            told.recv(4096)
        _tell_ends(callers)
        with suppress(BlockingIOError):
            connection, _ = place.accept()
            connection.setblocking(True)
            number = os.fork()
            if not number:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for each in (place, told, tells, *callers.values()):
                    each.close()
                _answer(connection, executable)
            callers[number] = connection
    os._exit(0)


def _tell_ends(callers: dict[int, socket.socket]) -> None:
    """Tell each caller whose process has ended how it did: its exit code, or less a signal."""
    for number in list(callers):
        ended, status = os.waitpid(number, os.WNOHANG)
        if ended:
            connection = callers.pop(number)
            with suppress(OSError):
                connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
            connection.close()


def _answer(connection: socket.socket, executable: Path) -> None:
    """Do what one call asks for, and end."""
    code = 1
    try:
        head, streams, _, _ = socket.recv_fds(connection, 8, 3)
        missing, call = int.from_bytes(head, "little"), b""
        while len(call) < missing:
            call += connection.recv(missing - len(call))
        connection.sendall(f"{os.getpid()}\n".encode())
        code = _run(json.loads(call), streams, executable)
    except BaseException:
        traceback.print_exc()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _run(call: list[Any], streams: list[int], executable: Path) -> int:
    words, environment, folder = call
    if words[:1] == ["-u"]:
        del words[0]  # torchrun's, and what is written is read when the process has ended
    flag, module, *words = words
    if flag != "-m":
        raise ValueError(f"Expected `python -m MODULE ...`, but got {flag}.")
    for target, stream in enumerate(streams):
        os.dup2(stream, target)
        os.close(stream)
    sys.stdin = os.fdopen(0)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    os.environ.clear()
    os.environ.update(environment)
    _forget_the_tests()
    os.chdir(folder)
    sys.executable = str(executable)
    sys.argv = [module, *words]
    sys.path[:0] = [folder, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as stop:
        if stop.code is not None and not isinstance(stop.code, int):
            sys.stderr.write(f"{stop.code}\n")
            return 1
        return stop.code or 0
    return 0


def _forget_the_tests() -> None:
    """Be as one that has just started: seeds, signals, rank, temporary files, messages' place."""
    random.seed()
    np.random.seed()
    torch.manual_seed(_SEED)
    tempfile.tempdir = None  # what TMPDIR says is read once
    signal.signal(signal.SIGINT, signal.default_int_handler)
    rank_zero_only.rank = _get_rank() or 0  # Lightning reads the environment when it is imported
    logging.getLogger().handlers.clear()
    for logger in logging.Logger.manager.loggerDict.values():
        for handler in getattr(logger, "handlers", []):
            if type(handler) is logging.StreamHandler:
                handler.setStream(sys.stderr)
