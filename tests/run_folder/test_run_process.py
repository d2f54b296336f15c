"""A process is asked to stop only if it is the one that trains in the folder."""

import json
import os
import signal
import subprocess
import sys

import psutil
import pytest
from filelock import FileLock

from sdtune.run_folder.run_lock import RunLock
from sdtune.run_folder.run_process import (
    PROCESS,
    RunProcess,
    forget_process,
    note_process,
    training_process,
)

TRAINER = """
import sys, time
from pathlib import Path
from sdtune.run_folder.run_lock import RunLock
lock = RunLock(Path(sys.argv[1]))
lock.acquire()
print("trains", flush=True)
time.sleep(20)
"""


def changed(folder, **values):
    """Write the record anew, with other values."""
    record = json.loads((folder / PROCESS).read_text())
    record["process"] |= values
    (folder / PROCESS).write_text(json.dumps(record))


def test_who_has_the_lock_is_written_down_until_it_is_given_back(tmp_path):
    lock, again = RunLock(tmp_path), RunLock(tmp_path)
    assert training_process(tmp_path) is None
    lock.acquire()
    again.acquire()
    assert training_process(tmp_path).pid == os.getpid()
    again.release()
    assert training_process(tmp_path).pid == os.getpid()
    lock.release()
    assert not (tmp_path / PROCESS).exists()


def test_a_process_that_is_another_by_any_sign_is_not_asked(tmp_path):
    def asked():
        with pytest.raises(ProcessLookupError, match="No process trains in"):
            json_process(tmp_path).stop(tmp_path)  # else pytest ends
        return training_process(tmp_path)

    note_process(tmp_path)
    assert asked() is None  # it has no lock open
    with FileLock(tmp_path / ".lock"):
        assert training_process(tmp_path).pid == os.getpid()
        changed(tmp_path, started=json_process(tmp_path).started - 60)
        assert asked() is None  # its number is that of a younger process
        note_process(tmp_path)
        changed(tmp_path, host="elsewhere")
        assert asked().host == "elsewhere"  # told, but not asked
        changed(tmp_path, host=RunProcess(1, 0.0, "").host)
    forget_process(tmp_path)
    forget_process(tmp_path)


def json_process(folder):
    return RunProcess(**json.loads((folder / PROCESS).read_text())["process"])


def test_it_is_asked_once_by_whomever(tmp_path, monkeypatch):
    signals = []
    monkeypatch.setattr(psutil.Process, "terminate", lambda self: signals.append(self.pid))
    with FileLock(tmp_path / ".lock"):
        note_process(tmp_path)
        assert training_process(tmp_path).stop(tmp_path)
        assert training_process(tmp_path).asked
        assert not training_process(tmp_path).stop(tmp_path)
        assert signals == [os.getpid()]
        note_process(tmp_path)  # it was resumed
        assert training_process(tmp_path).stop(tmp_path)


@pytest.mark.parametrize("text", ["", "{", '{"version": 1, "process": {"pid": -1}}', "[]"])
def test_a_damaged_record_is_of_no_process(tmp_path, text):
    (tmp_path / PROCESS).write_text(text)
    assert training_process(tmp_path) is None


@pytest.mark.skipif(os.name == "nt", reason="there it would end at once")
def test_it_is_asked_to_end(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", TRAINER, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as trainer:
        assert trainer.stdout.readline() == "trains\n"
        found = training_process(tmp_path)
        assert found.pid == trainer.pid
        assert not found.asked
        assert found.stop(tmp_path)
        assert trainer.wait(20) == -signal.SIGTERM
        assert training_process(tmp_path) is None
        with pytest.raises(ProcessLookupError):
            found.stop(tmp_path)
