"""The picture sets under datasets/ are what their cards say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from sdtune.nano.making.objects import OBJECTS
from sdtune.nano.making.picture_sets import STYLE_OBJECTS, SUBJECTS, build_subject_set
from sdtune.nano.making.sources import SOURCES

_DATASETS = Path(__file__).parents[3] / "datasets"


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


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_subject_set_is_ten_captioned_pictures_of_one_individual(name: str) -> None:
    folder = _DATASETS / f"subject_{name}"
    lines = (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines]
    assert len(entries) == len(SUBJECTS[name].objects) == 10
    assert {entry["file_name"] for entry in entries} == {p.name for p in folder.glob("*.png")}
    assert all(name in entry["text"].split() for entry in entries)


def test_an_unknown_subject_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Expected `name` to be one of `cat`, `rabbit`"):
        build_subject_set(tmp_path / "set", tmp_path, "dog")


@pytest.mark.parametrize(
    ("folder", "style", "command"),
    [
        ("style_openmoji", "openmoji", "style_set"),
        ("subject_cat", "emojione-v1", "subject_set cat"),
        ("subject_rabbit", "emojione-v1", "subject_set rabbit"),
    ],
)
def test_cards_give_source_licence_attribution_and_command(
    folder: str, style: str, command: str
) -> None:
    card = (_DATASETS / folder / "README.md").read_text(encoding="utf-8")
    source = SOURCES[style]
    for fact in (source.package, source.version, source.licence, source.attribution):
        assert fact in card
    assert f"`python -m sdtune.nano {command} datasets/{folder}`" in card
