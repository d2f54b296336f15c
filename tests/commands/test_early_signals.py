from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import weakref

import pytest

from sdtune.commands.early_signals import Ended, ended_by_signals_early, leave_signals

_WAITS = "import time; from sdtune import cli; cli._run = lambda *_: print('on', flush=True) or"
_STARTS = "cli.main(['fit'])"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_during_imports_is_told_and_is_the_exit_code(number: signal.Signals) -> None:
    code = f"import sys; {_WAITS} time.sleep(60); sys.exit({_STARTS})"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "on\n"
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (128 + number, "sdtune: stopped.\n")


def test_a_signal_that_comes_while_a_finalizer_runs_is_not_lost() -> None:
    class Thing:
        pass

    hook = sys.unraisablehook
    with pytest.raises(Ended), ended_by_signals_early():  # noqa: PT012
        thing = Thing()
        weakref.finalize(thing, signal.raise_signal, signal.SIGTERM)
        del thing  # what is raised here, Python drops
        time.sleep(10)
    assert sys.unraisablehook is hook


def test_handlers_are_put_back_and_others_are_left() -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert before is signal.SIG_DFL
    with ended_by_signals_early():
        with pytest.raises(Ended):
            _receive(signal.SIGTERM)
        leave_signals()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    with ended_by_signals_early():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_forked_process_is_killed_by_them() -> None:
    with ended_by_signals_early():
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writer, b"1")  # a signal before Python has forked to the end is lost
            time.sleep(60)
            os._exit(0)
        assert os.read(reader, 1) == b"1"
        os.kill(child, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
        os.close(reader)
        os.close(writer)


def _receive(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(10)
