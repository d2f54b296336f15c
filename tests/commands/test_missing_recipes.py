"""A recipe that is not there is told before torch is imported."""

import subprocess
import sys

import pytest

from sdtune.cli import lightning_main, main
from sdtune.commands.missing_recipes import missing_recipes

_TOLD = "Expected a recipe file, but got `nosuch.yaml`, which does not exist."


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("check", ["nosuch.yaml"]),
        ("check", ["nosuch.yaml", "--model.rank", "8"]),
        ("estimate", ["nosuch.yaml", "--gpu", "12GB"]),
        ("fit", ["--config", "nosuch.yaml"]),
        ("fit", ["-c=nosuch.yaml", "--trainer.max_steps=3"]),
    ],
)
def test_it_is_named(command: str, words: list[str], tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert missing_recipes(command, words) == [_TOLD]
    assert main([command, *words]) == 2
    assert capsys.readouterr().err == f"sdtune: {_TOLD}\n"


def test_what_is_there_or_no_file_is_left_to_the_command(recipe, tmp_path) -> None:
    assert missing_recipes("check", [recipe]) == []
    assert missing_recipes("check", ["style_lora"]) == []
    assert missing_recipes("fit", ["--config", "trainer: {max_steps: 1}"]) == []
    assert missing_recipes("fit", ["word"]) == []
    assert missing_recipes("check", ["nosuch.yaml", "--json"]) == []
    assert missing_recipes("inspect", ["nosuch.yaml"]) == []


def test_lightning_run_says_it_too(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert lightning_main(["run", "nosuch.yaml"]) == 2
    assert _TOLD in capsys.readouterr().err


def test_nothing_heavy_is_imported_for_it(tmp_path) -> None:
    code = (
        "import sys; from sdtune.cli import main; code = main(['check', 'nosuch.yaml'])\n"
        "heavy = ('torch', 'lightning', 'jsonargparse')\n"
        "print(code, [name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "2 []\n"
