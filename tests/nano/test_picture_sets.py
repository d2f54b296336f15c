"""The picture sets under datasets/ are what their cards say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from sdtune.nano.objects import OBJECTS
from sdtune.nano.picture_sets import CAT_FACES, STYLE_OBJECTS
from sdtune.nano.sources import SOURCES

_DATASETS = Path(__file__).parents[2] / "datasets"


def test_the_style_set_is_122_captioned_pictures() -> None:
    folder = _DATASETS / "style_openmoji"
    pictures = sorted(folder.glob("*.png"))
    assert len(pictures) == len(STYLE_OBJECTS) == 122
    assert set(STYLE_OBJECTS) < set(OBJECTS)
    for path in pictures:
        caption = path.with_suffix(".txt").read_text(encoding="utf-8").strip()
        assert path.stem.replace("_", " ") in caption.replace("-", " ")
        assert caption.endswith("background")
        with Image.open(path) as picture:
            assert (picture.mode, picture.size) == ("RGB", (512, 512))


def test_the_subject_set_is_ten_faces_of_one_cat() -> None:
    folder = _DATASETS / "subject_cat"
    lines = (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines]
    assert len(entries) == len(CAT_FACES) == 10
    assert {entry["file_name"] for entry in entries} == {p.name for p in folder.glob("*.png")}
    assert all("cat" in entry["text"] for entry in entries)


@pytest.mark.parametrize(
    ("folder", "style"), [("style_openmoji", "openmoji"), ("subject_cat", "emojione-v1")]
)
def test_cards_give_source_licence_and_attribution(folder: str, style: str) -> None:
    card = (_DATASETS / folder / "README.md").read_text(encoding="utf-8")
    source = SOURCES[style]
    for fact in (source.package, source.version, source.licence, source.attribution):
        assert fact in card
