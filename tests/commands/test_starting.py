import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from sdtune.commands import starting
from sdtune.commands.starting import _Clock, time_start


def test_the_quicker_of_the_starts_with_a_warm_cache_is_shown(monkeypatch, tmp_path):
    found = iter(
        [[("a", 0.1, 0.1)], [("a", 3.0, 2.0), ("b", 1.0, 0.5), ("c", 0.0, 0.0)], [("a", 9.0, 8.0)]]
    )
    monkeypatch.setattr(starting, "_time_once", lambda recipe: next(found))
    lines = time_start(Path("recipe.yaml"), tmp_path).splitlines()
    assert lines[2:] == [
        "| a | 3.00 | 2.00 |",
        "| b | 1.00 | 0.50 |",
        "| from the command to the first step | 4.00 | 2.50 |",
    ]
    written = json.loads((tmp_path / "start.json").read_text())
    assert written["stages"][1] == {"stage": "b", "clock": 1.0, "computed": 0.5}


def test_what_callbacks_do_at_the_start_is_a_stage_of_its_own():
    done = []
    callback = SimpleNamespace(on_train_start=lambda *given: done.append(given))
    clock = _Clock()
    for _ in range(2):
        clock.time_start_of(callback)
        callback.on_train_start("trainer", "module")
    assert done == [("trainer", "module")] * 2
    names = [name for name, _, _ in clock.stages]
    assert names == [
        "Python", "latents and prompts, and between callbacks", "SimpleNamespace at the start"
    ]  # fmt: skip


@pytest.mark.slow
def test_a_recipe_that_does_not_start_is_an_error(tmp_path, monkeypatch, quick_python):
    monkeypatch.setattr("sys.executable", str(quick_python))
    (tmp_path / "recipe.yaml").write_text("model: 3\n")
    with pytest.raises(ValueError, match="does not start"):
        time_start(tmp_path / "recipe.yaml")
