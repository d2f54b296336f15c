import errno
import multiprocessing
import os

import pytest

from sdtune.files.atomic_file import (
    _TEMPORARY,
    remove_leftovers,
    replaced_atomically,
    temporary_sibling,
)


def test_a_file_appears_whole_in_a_folder_that_it_makes(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with replaced_atomically(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
        assert temporary.parent == path.parent
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def fail_halfway(path):
    with replaced_atomically(path) as temporary:
        temporary.write_text("ha")
        raise RuntimeError("disk full")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="disk full"):
        fail_halfway(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("synced", "expected"), [(True, ["sync", "rename", "sync"]), (False, ["rename"])]
)
def test_the_bytes_are_on_the_disk_before_the_name_changes(tmp_path, monkeypatch, synced, expected):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append("sync"), fsync(fd))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("rename"), replace(a, b))[1])
    with replaced_atomically(tmp_path / "file", synced=synced) as temporary:
        temporary.touch()
    assert calls == expected
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_writers_of_one_file_do_not_meet(tmp_path):
    path = tmp_path / "file"
    assert temporary_sibling(path) != temporary_sibling(path)
    with replaced_atomically(path) as one:
        one.write_text("first")
        with replaced_atomically(path) as other:
            other.write_text("second")
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["a" * 251 + ".txt", "b" + "é" * 125 + ".txt", "猫" * 85])
def test_a_name_as_long_as_names_may_be_is_written(tmp_path, name):
    assert len(os.fsencode(name)) == 255
    path = tmp_path / name
    with replaced_atomically(path) as temporary:
        temporary.write_text("whole")
        assert len(os.fsencode(temporary.name)) in range(253, 256)
        assert name.startswith(temporary.name[1:].split(".")[0])  # no character is cut
        assert _TEMPORARY.fullmatch(temporary.name)
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_names_the_file_that_there_should_be(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def write_half():
        with replaced_atomically(path) as temporary:
            temporary.write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")  # as a write does, nameless

    with pytest.raises(OSError, match="No space") as error:
        write_half()
    assert error.value.filename == str(path)
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "old"


def test_a_folder_that_vanishes_names_the_file_that_there_should_be(tmp_path):
    path = tmp_path / "folder" / "file"

    def write():
        with replaced_atomically(path) as temporary:
            path.parent.rmdir()
            temporary.write_text("new")

    with pytest.raises(FileNotFoundError) as error:
        write()
    assert error.value.filename == str(path)


def test_leftovers_are_cleared_of_dead_processes_of_this_machine_alone(tmp_path):
    below = tmp_path / "below"
    below.mkdir()
    process = multiprocessing.get_context("fork").Process(target=_leave, args=(below,))
    process.start()
    process.join()
    (dead,) = below.iterdir()
    machine, rest = dead.name.split(".")[2].split("-", 1)
    elsewhere = dead.with_name(dead.name.replace(machine, "0" * 8))
    reused = dead.with_name(dead.name.replace(f"-{process.pid}-", f"-{os.getpid()}-"))
    reused = reused.with_name(reused.name.replace(rest.split("-")[1], "0" * 8))
    kept = [temporary_sibling(below / "file"), elsewhere, below / ".theirs.tmp", below / "a.tmp"]
    for path in (*kept, reused):
        path.touch()
    assert remove_leftovers(tmp_path) == sorted([dead, reused])
    assert sorted(below.iterdir()) == sorted(kept)


def _leave(folder):
    temporary_sibling(folder / "file").touch()


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="the system shows no processes")
def test_what_is_left_of_a_process_that_nobody_has_asked_after_is_deleted(tmp_path):
    """A container without init keeps the names of processes that were killed."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # it has ended, and is not forgotten
    own = temporary_sibling(tmp_path / "last.ckpt")
    left = own.with_name(own.name.replace(f"-{os.getpid()}-", f"-{child}-"))
    left.write_text("half")
    os.kill(child, 0)
    assert remove_leftovers(tmp_path) == [left]
    os.waitpid(child, 0)
