from __future__ import annotations

import os
from pathlib import Path

import pytest

from sdtune.cli import main
from sdtune.commands.errors import CallError
from sdtune.commands.timing import time_run
from tests.picture_folders import make_picture_folder

_RECIPE = """\
model:
  class_path: sdtune.LoRAStyleModule
  init_args: {{base: {base}, rank: 4}}
data:
  class_path: sdtune.StyleDataModule
  init_args: {{folder: {data}, resolution: 64, batch_size: 2, validation_count: 4}}
trainer:
  max_steps: 120
  val_check_interval: 40
  check_val_every_n_epoch: null
  accelerator: cpu
  callbacks:
    - class_path: sdtune.SampleGrid
      init_args: {{prompts: [a lion, a cat], every_n_steps: 40, num_inference_steps: 2}}
    - class_path: sdtune.EvaluationCallback
      init_args:
        prompts: [a lion, a cat]
        every_n_steps: 60
        num_inference_steps: 2
        style_pictures: 4
    - class_path: sdtune.AdapterCheckpoint
      init_args: {{every_n_steps: 60}}
    - class_path: sdtune.ResumeCheckpoint
      init_args: {{every_n_steps: 30}}
"""


@pytest.fixture
def recipe(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    micro_sd: Path,
    monkeypatch: pytest.MonkeyPatch,
    quick_python: Path,
) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.executable", str(quick_python))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # seconds are those that a process computed
    path = tmp_path / "style.yaml"
    data = make_picture_folder(tmp_path_factory.mktemp("data") / "discs", count=8)
    path.write_text(_RECIPE.format(base=micro_sd, data=data), encoding="utf-8")
    return path.name


@pytest.mark.slow
def test_a_runs_time_is_told_by_parts(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", recipe, "--time"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert os.listdir() == [recipe]  # nothing is left of it
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]
    rows = {row[0]: row[1:] for row in cells[2:]}
    foretold = float(rows.pop("whole run")[2])
    assert sum(float(row[2]) for row in rows.values()) == pytest.approx(foretold, abs=0.5)
    times = {name: int(row[0]) for name, row in rows.items()}
    assert times == {
        "start": 1,
        "first steps, beyond the others": 1,
        "step": 120,
        "validation": 3,
        "SampleGrid": 3,
        "EvaluationCallback": 2,
        "AdapterCheckpoint": 2,
        "ResumeCheckpoint": 4,
        "end": 1,
    }
    assert any(line.startswith("By 20 true steps on ") for line in lines)
    # that the parts make the whole, tests/bench/test_run_timer.py holds on a clock of its own


@pytest.mark.slow
def test_a_wrong_recipe_is_told_with_all_its_problems(recipe: str) -> None:
    words = ["--model.init_args.rank=0", "--data.init_args.batch_size=-1"]
    with pytest.raises(CallError) as caught:
        time_run(["--config", recipe, *words])
    assert ["`rank`" in each or "`batch_size`" in each for each in caught.value.problems] == [
        True,
        True,
    ]
