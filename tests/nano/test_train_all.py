"""The one command that trains all of nano, at a tiny size."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from diffusers import StableDiffusionPipeline

_ROOT = Path(__file__).parents[2]
_TINY = (
    "--trainer.accelerator=cpu",
    "--trainer.precision=32-true",
    "--trainer.max_steps=1",
    "--trainer.limit_val_batches=1",
    "--data.num_workers=0",
    "--data.batch_size=2",
)


def _call(
    folder: Path, *options: str, minutes: int = 30, python: Path = Path(sys.executable)
) -> subprocess.CompletedProcess[str]:
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    variables = {"NANO_FOLDER": str(folder), "NANO_MINUTES": str(minutes), "NANO_PROMPTS": "2"}
    variables |= {"NANO_STEPS": "1", "NANO_SCENES": "100"}
    variables["PATH"] = path
    return subprocess.run(
        ["bash", str(_ROOT / "recipes" / "nano" / "train_all.sh"), *options],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_missing_inputs_are_named(tmp_path: Path) -> None:
    result = _call(tmp_path)
    assert result.returncode == 2
    assert f"Expected {tmp_path}/sprites.zip, but it is missing" in result.stderr


@pytest.mark.slow
def test_it_trains_everything_in_stretches(
    sprites: Path, tokenizer: Path, tmp_path: Path, quick_python: Path
) -> None:
    shutil.copy(sprites, tmp_path / "sprites.zip")
    shutil.copytree(tokenizer, tmp_path / "tokenizer")
    early = _call(tmp_path, *_TINY, minutes=0, python=quick_python)
    assert "Time is up before vae: call again." in early.stdout
    result = _call(tmp_path, *_TINY, python=quick_python)
    assert result.returncode == 0, result.stderr
    assert "nano is done" in result.stdout
    package = tmp_path / "package"
    assert "Stable Diffusion in miniature" in (package / "README.md").read_text(encoding="utf-8")
    StableDiffusionPipeline.from_pretrained(package / "weights")
    card = (package / "README.md").stat().st_mtime_ns
    again = _call(tmp_path, *_TINY, python=quick_python)
    assert "nano is done" in again.stdout
    assert "step 1/1" in result.stdout + result.stderr
    assert "step 1/1" not in again.stdout + again.stderr
    assert (package / "README.md").stat().st_mtime_ns == card
