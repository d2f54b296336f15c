import gc
import sys

import pytest

from sdtune.commands.quick_imports import quick_imports


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What is left out from then on: whether garbage was looked for just then."""
    calls: list[bool] = []
    monkeypatch.setattr(gc, "freeze", lambda: calls.append(gc.isenabled()))
    return calls


def test_what_torch_brings_is_left_out_once(
    frozen: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = sys.modules["torch"]
    monkeypatch.delitem(sys.modules, "torch")
    with quick_imports():
        assert not gc.isenabled()
        sys.modules["torch"] = torch
    assert gc.isenabled()
    with quick_imports():
        pass
    assert frozen == [False]


def test_a_command_without_torch_leaves_all_as_it_was(
    frozen: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "torch")
    with quick_imports():
        pass
    assert gc.isenabled()
    assert frozen == []


def test_an_import_that_fails_leaves_the_collector_on() -> None:
    with pytest.raises(ImportError), quick_imports():
        raise ImportError
    assert gc.isenabled()


def test_who_has_switched_it_off_keeps_it_off() -> None:
    gc.disable()
    try:
        with quick_imports():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
