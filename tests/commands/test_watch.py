import signal
from contextlib import contextmanager

import pytest

from sdtune.cli import main


def test_a_file_is_said_to_be_no_folder(capsys, tmp_path):
    (tmp_path / "config.yaml").touch()
    assert main(["watch", str(tmp_path / "config.yaml")]) == 2
    assert f"`{tmp_path / 'config.yaml'}` is no folder: name the one" in capsys.readouterr().err


def test_a_wrong_call_says_all_that_is_wrong(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["watch", "--port", "80", "--share"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert "got `--share`" in lines[1]
    assert "there is no `runs`: start a run" in lines[2]
    assert "`--port` to be from 1024 to 65535, but got 80" in lines[3]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_page_that_is_ended_is_done(number, tmp_path, monkeypatch):
    @contextmanager
    def served(page, port):
        signal.raise_signal(number)
        yield "http://127.0.0.1:7870/"

    monkeypatch.setattr("sdtune.watch.server.served", served)
    monkeypatch.setattr("os.nice", lambda _: 0)
    assert main(["watch", str(tmp_path)]) == 0
