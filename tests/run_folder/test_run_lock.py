import errno
from unittest.mock import Mock

import pytest
from filelock import FileLock, Timeout

from sdtune.run_folder.run_lock import RunLock


def test_a_process_may_take_it_twice_and_gives_it_back_as_often(tmp_path):
    first, second = RunLock(tmp_path / "run"), RunLock(tmp_path / "run")
    other = FileLock(tmp_path / "run" / ".lock", timeout=0)  # as another process has it
    first.acquire()
    second.acquire()
    first.release()
    first.release()
    with pytest.raises(Timeout):
        other.acquire()
    second.release()
    expected = pytest.raises(FileExistsError, match=r"no other process to train in .*run, but one")
    with other, expected:
        first.acquire()
    first.acquire()
    first.release()


@pytest.mark.parametrize("error", [NotImplementedError(), OSError(errno.ENOLCK, "No locks")])
def test_where_nothing_can_be_locked_that_is_said(tmp_path, monkeypatch, caplog, error):
    monkeypatch.setattr(FileLock, "acquire", Mock(side_effect=error))
    RunLock(tmp_path).acquire()
    assert "cannot be locked here" in caplog.text


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(FileExistsError) as error:
        RunLock(tmp_path / "run").acquire()
    assert error.value.filename == str(tmp_path / "run")
