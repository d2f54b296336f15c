"""The page's command: what it refuses, and that it ends and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest

from sdtune.cli import main

# not imported: that takes seconds, which each process that tests are handed to would spend
pytestmark = pytest.mark.skipif(find_spec("gradio") is None, reason="gradio is not installed")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "Expected an adapter at nowhere"),
        (["--checkpoint", "1"], "Expected `--checkpoint` with a run folder"),
        (["--output", "file"], "Expected `--output` to name a folder, but file is a file"),
        (["--port", "80"], "Expected `--port` to be from 1024 to 65535, but got 80"),
        (["--share"], "Expected a known option, but got `--share`"),
        (["--base", "gone/base"], "gone/base"),
    ],
)
def test_a_wrong_call_is_one_sentence(words, message, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("mine")
    assert main(["play", *words]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_a_port_in_use_is_refused(capsys) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["play", "--port", str(port)]) == 2
    assert f"Expected `--port` to be free, but {port} is in use" in capsys.readouterr().err


def test_without_gradio_the_extra_is_named(capsys, monkeypatch) -> None:
    monkeypatch.setattr("sdtune._imports.find_spec", lambda name: None)
    assert main(["play"]) == 2
    assert 'pip install "sdtune[play]"' in capsys.readouterr().err


@pytest.mark.slow
def test_it_is_answered_here_ends_by_a_signal_and_leaves_nothing(
    drawn_run, tmp_path, quick_python
) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path / "temporary"), "GRADIO_SHARE": "True"}
    (tmp_path / "temporary").mkdir()
    with subprocess.Popen(
        [quick_python, "-m", "sdtune", "play", drawn_run, "--device", "cpu"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        words = process.stdout.readline().split()
        assert words[:2] == ["sdtune", "play:"]
        assert words[2].startswith("http://127.0.0.1:")
        assert [each.name[:12] for each in (tmp_path / "temporary").glob("sdtune_play_*")]
        with urllib.request.urlopen(words[2], timeout=60) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert not list((tmp_path / "temporary").glob("sdtune_play_*"))
