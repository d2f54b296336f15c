from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from sdtune.captioning.captioner import CaptionerSettings
from sdtune.captioning.registry import load_captioner
from sdtune.captioning.wd_tagger import Tag, read_tags
from tests.captioning.tiny_captioners import make_tiny_tagger

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def _described(folder: Path, *colours: tuple[int, int, int], **settings: object) -> list[str]:
    tagger = load_captioner("wd", CaptionerSettings(str(folder), **settings))
    return tagger.describe([Image.new("RGB", (20, 20), colour) for colour in colours])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_tagger(tmp_path_factory.mktemp("tagger"))


def test_channels_are_blue_green_red_and_characters_come_first(folder: Path) -> None:
    found = _described(folder, (255, 0, 0), (0, 200, 80), (200, 255, 255), (0, 0, 0))
    assert found == ["long red", "green, >_<", "some blue, green, >_<, long red", ""]


def test_thresholds_are_of_general_tags_and_of_characters(folder: Path) -> None:
    grey = (128, 128, 128)
    assert _described(folder, grey, threshold=0.6) == ["some blue"]
    assert _described(folder, grey, character_threshold=0.6)[0].split(", ")[-1] != "some blue"
    assert _described(folder, grey, threshold=1.0, subject="qqq robot") == ["qqq robot, some blue"]
    assert _described(folder, (0, 0, 0), subject="qqq robot") == [""]


def test_a_picture_is_laid_on_a_white_square(folder: Path) -> None:
    tagger = load_captioner("wd", CaptionerSettings(str(folder), threshold=0.49))
    wide = Image.new("RGB", (40, 20), (255, 0, 0))  # half red, half white
    assert tagger.describe([wide]) == ["some blue, long red, >_<, green"]


@pytest.mark.parametrize("batch", [1, 4])
def test_a_network_of_a_fixed_batch_describes_any_number(tmp_path: Path, batch: int) -> None:
    folder = make_tiny_tagger(tmp_path, batch=batch)
    colours = [(255, 0, 0), (0, 255, 0)] * 3
    assert _described(folder, *colours, threshold=0.5) == ["long red", "green"] * 3


def test_a_file_is_taken_with_the_tags_beside_it(folder: Path) -> None:
    assert _described(folder / "model.onnx", (255, 0, 0)) == ["long red"]


def test_underscores_are_spaces_but_in_faces(folder: Path) -> None:
    tags = read_tags(folder / "selected_tags.csv")
    assert tags[1:5] == [
        Tag("long red", "0"),
        Tag("green", "0"),
        Tag("some blue", "4"),
        Tag(">_<", "0"),
    ]


def test_what_is_no_tagger_is_refused_in_a_sentence(tmp_path: Path) -> None:
    folder = make_tiny_tagger(tmp_path)
    table = folder / "selected_tags.csv"
    rows = table.read_text().splitlines()
    for text, message in (
        ("\n".join(rows[:-1]), "Expected as many tags as the network knows, 5, but"),
        ("a,b\n1,2\n", "to have the columns `name` and `category`"),
    ):
        table.write_text(text)
        with pytest.raises(ValueError, match=message):
            _described(folder, (0, 0, 0))
    table.write_bytes(b"name,category\ncaf\xe9,0\n")
    with pytest.raises(
        ValueError, match=r"selected_tags\.csv to hold the network's tags, but: its byte 17"
    ):
        _described(folder, (0, 0, 0))
    table.unlink()
    with pytest.raises(ValueError, match=r"to hold selected_tags\.csv, but it does not|to hold"):
        _described(folder, (0, 0, 0))
    (folder / "model.onnx").write_bytes(b"no network")
    table.write_text("\n".join(rows))
    with pytest.raises(ValueError, match="could not be loaded by onnxruntime"):
        _described(folder, (0, 0, 0))
    with pytest.raises(ValueError, match="run `hf download some/tagger` with a network"):
        _described(Path("some/tagger"), (0, 0, 0))
