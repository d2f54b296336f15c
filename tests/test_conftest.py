"""What holds for all tests: threads of forked processes, and what is told of warnings."""

from __future__ import annotations

import os
import threading
import warnings

import pytest
import torch

from tests import conftest


def test_threads_of_a_forked_process_may_begin_at_once() -> None:
    assert [_begins_at_once() for _ in range(10)] == [0] * 10


def _begins_at_once() -> int:
    """Fork, and return how many of four threads fail at their first large tensor."""
    large = torch.ones(40_000)
    number = os.fork()
    if number:
        return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
    start, failed = threading.Barrier(4), []

    def add() -> None:
        start.wait()
        try:
            torch.add(large, 1)
        except RuntimeError as error:
            failed.append(error)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    os._exit(len(failed))


class _LibrarysWarning(FutureWarning):
    pass


@pytest.mark.parametrize("kind", [_LibrarysWarning, FutureWarning])
def test_a_librarys_warning_is_told_as_pythons_kind(kind: type[Warning]) -> None:
    told = warnings.WarningMessage(kind("is deprecated"), kind, "file.py", 1)
    conftest.pytest_warning_recorded(told)
    assert told.category is type(told.message) is FutureWarning
    name = "_LibrarysWarning: " if kind is _LibrarysWarning else ""
    assert str(told.message) == f"{name}is deprecated"
