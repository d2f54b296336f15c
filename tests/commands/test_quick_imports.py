import gc
import os
import subprocess
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


def test_the_compiler_is_there_again_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHDYNAMO_DISABLE", raising=False)
    with quick_imports():
        assert os.environ["TORCHDYNAMO_DISABLE"] == "1"
    assert "TORCHDYNAMO_DISABLE" not in os.environ
    monkeypatch.setenv("TORCHDYNAMO_DISABLE", "0")  # somebody's own
    with quick_imports():
        assert os.environ["TORCHDYNAMO_DISABLE"] == "0"
    assert os.environ["TORCHDYNAMO_DISABLE"] == "0"


@pytest.mark.slow
def test_no_compiler_is_imported_and_what_is_compiled_later_is() -> None:
    code = (
        "import sys; from sdtune.commands.quick_imports import quick_imports\n"
        "with quick_imports(): import sdtune.commands.fit, peft\n"
        "print('bitsandbytes' in sys.modules, 'torch._inductor.lowering' in sys.modules)\n"
        "import torch; seen = []\n"
        "def backend(graph, _): seen.append(graph); return graph.forward\n"
        "torch.compile(lambda x: x + 1, backend=backend)(torch.ones(2)); print(len(seen))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False", "1"]


def test_who_has_switched_it_off_keeps_it_off() -> None:
    gc.disable()
    try:
        with quick_imports():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
