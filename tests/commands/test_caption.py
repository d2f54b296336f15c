from __future__ import annotations

from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from PIL import Image

from sdtune.captioning.registry import CAPTIONERS
from sdtune.cli import main
from sdtune.commands.caption import caption
from tests.metrics.tiny_networks import make_tiny_clip


@pytest.fixture(scope="module")
def clip(tiny_sd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_clip(tmp_path_factory.mktemp("captioner") / "clip", tiny_sd / "tokenizer")


@pytest.fixture
def call(clip: Path, tmp_path: Path) -> list[str]:
    (tmp_path / "words.txt").write_text("a disc\na square\n\non grass\n")
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("a", "b"):
        Image.new("RGB", (64, 64), "red").save(folder / f"{name}.png")
    words = str(tmp_path / "words.txt")
    return ["caption", str(folder), "--captioner", "clip", "--model", str(clip), "--words", words]


def test_captions_are_written_shown_and_kept(
    call: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*call, "--subject", "a robot"]) == 0
    assert Path(call[1], "a.txt").read_text() == "a robot on grass\n"
    shown = capsys.readouterr().out.splitlines()
    assert shown == [
        "a.txt: a robot on grass",
        "b.txt: a robot on grass",
        "captions:    2 written",
    ]
    assert main(call) == 0
    assert capsys.readouterr().out == "captions:    0 written, 2 had one and keep it\n"
    assert main([*call, "--overwrite", "true"]) == 0
    assert Path(call[1], "a.txt").read_text() in ("a disc on grass\n", "a square on grass\n")


def test_a_bad_file_is_named_and_the_others_are_done(
    call: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(25):
        Path(call[1], f"bad{number:02}.png").write_bytes(b"no picture")
    assert main(call) == 2
    output = capsys.readouterr()
    assert "captions:    2 written" in output.out
    lines = output.err.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("sdtune: "))
    assert lines[first] == "sdtune: 25 pictures have no caption:"
    assert lines[first + 1].startswith(f"  - {call[1]}/bad00.png: does not open")
    assert lines[-1] == "  - and 5 more"


def test_wrong_calls_are_refused_before_a_model_is_loaded(
    call: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["caption", str(tmp_path / "gone"), "--batch_size", "0"]) == 2
    problems = capsys.readouterr().err
    assert "there is no such folder" in problems
    assert "Expected `--batch_size` to be a positive integer, but got 0" in problems
    assert main([*call, "--threshold", "2", "--character_threshold", "-1"]) == 2
    assert capsys.readouterr().err.startswith("sdtune: 2 problems, and nothing was started:")
    assert main(["caption", call[1]]) == 2
    assert "run `hf download Salesforce/blip" in capsys.readouterr().err
    assert not list(Path(call[1]).glob("*.txt"))


def test_captions_in_another_column_are_asked_for_before_any_is_written(
    call: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    row = '{"file_name": "a.png", "caption": "mine"}'
    Path(call[1], "metadata.jsonl").write_text(row)
    assert main(call) == 2
    assert "(the line has 'caption') with `--caption_column`" in capsys.readouterr().err
    assert not list(Path(call[1]).glob("*.txt"))
    assert main([*call, "--caption_column", "caption"]) == 0
    assert [each.name for each in Path(call[1]).glob("*.txt")] == ["b.txt"]


def test_the_captioners_that_can_be_named_are_those_that_there_are() -> None:
    assert set(get_args(get_type_hints(caption)["captioner"])) == set(CAPTIONERS)
