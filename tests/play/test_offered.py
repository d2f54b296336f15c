from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sdtune.play.offered import offer
from tests.adapters.test_adapter_files import write
from tests.report.run_folder import make_evaluation


def test_checkpoints_of_a_run_are_offered_and_found_by_their_hash(run) -> None:
    offered = offer(run)
    assert offered.name == "style_lora/version_0"
    assert offered.checkpoints == {
        "last": "last (step 2)",
        "step_000001": "step 1",
        "step_000002": "step 2",
    }
    assert offered.first == "last"
    assert offer(run, "1").first == "step_000001"
    assert offered.find(offered.source("step_000001").sha256) == "step_000001"
    assert offered.find("0" * 64) is None
    with pytest.raises(ValueError, match="Expected a checkpoint of style_lora/version_0"):
        offered.source("best")
    with pytest.raises(FileNotFoundError, match="Expected `--checkpoint` to be one of"):
        offer(run, "9")


def test_scores_stand_beside_the_checkpoints(run, tmp_path) -> None:
    folder = Path(shutil.copytree(run, tmp_path / "run"))
    shutil.copytree(folder / "adapter" / "step_000001", folder / "adapter" / "best")
    for label in ("step_000200", "step_000400"):
        shutil.copytree(folder / "adapter" / "step_000001", folder / "adapter" / label)
    make_evaluation(Path("pictures")).save(folder / "evaluation.json")
    # whatever the record calls the best, files are what their headers say
    assert offer(folder).checkpoints["best"] == "best (step 1)"
    for place in ("", "best"):
        write(folder / "adapter" / place, steps="400")
    offered = offer(folder)
    assert offered.first == "best"
    scores = "style score 0.62, CLIP score 27.7"
    assert offered.checkpoints == {
        "best": f"best (step 400): {scores}",
        "last": f"last (step 400): {scores}",
        "step_000001": "step 1",
        "step_000002": "step 2",
        "step_000200": "step 200: style score 0.42, CLIP score 27.9",
        "step_000400": f"step 400: {scores}",
    }
    (folder / "evaluation.json").write_text("{")
    assert offer(folder).checkpoints["step_000001"] == "step 1"


def test_one_file_is_one_choice(word) -> None:
    offered = offer(word)
    assert list(offered.checkpoints) == [""]
    assert not offered.source("").has_strength
    assert offer(word).find(offered.source("").sha256) == ""
