import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import sdtune
from sdtune.comparison.fresh_process import start_process

ROOT = Path(sdtune.__file__).parents[1]
CHILD = """\
import signal, time
seen = []
for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(each, lambda number, frame: seen.append(signal.Signals(number).name))
print("listens", flush=True)
while not seen:
    time.sleep(0.01)
time.sleep(0.2)
print(*seen, flush=True)
"""
PARENT = """\
import sys
from pathlib import Path
from sdtune.comparison.fresh_process import start_process
try:
    start_process(["child"], Path("fit.log"))
finally:
    print(Path("fit.log").read_text(encoding="utf-8").splitlines()[-1])
"""


def test_a_process_of_its_own_writes_the_log(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/echo")
    log = tmp_path / "fit.log"
    assert start_process(["sdtune", "fit", "--seed=1"], log) == 0
    assert log.read_text(encoding="utf-8") == "$ sdtune fit --seed=1\n-m sdtune fit --seed=1\n"


@pytest.mark.skipif(os.name != "posix", reason="Windows has no signals of a group")
@pytest.mark.parametrize(
    ("number", "code"),
    [
        ("SIGINT", -signal.SIGINT),  # KeyboardInterrupt, uncaught
        ("SIGTERM", 128 + 15),
        ("SIGHUP", 128 + 1),
    ],
)
def test_what_a_terminal_sends_to_all_reaches_a_run_once(tmp_path, number, code):
    (tmp_path / "child.py").write_text(CHILD, encoding="utf-8")
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    log, latest = tmp_path / "fit.log", time.monotonic() + 30
    while not (log.is_file() and "listens" in log.read_text(encoding="utf-8")):
        assert time.monotonic() < latest
        assert parent.poll() is None, parent.stderr.read()
        time.sleep(0.01)
    os.killpg(parent.pid, getattr(signal, number))
    time.sleep(0.05)  # as `timeout` does: its command, and then the group
    os.killpg(parent.pid, getattr(signal, number))
    printed, _ = parent.communicate(timeout=30)
    assert printed == "SIGTERM\n"  # the run's own log: one signal, which lets it save its state
    assert parent.returncode == code
