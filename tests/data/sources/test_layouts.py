"""What is found in each of many layouts, whole and damaged."""

import re

import pytest

from sdtune._imports import DATASETS_AVAILABLE
from sdtune.data.scan import scan_folder
from sdtune.data.sources.registry import SOURCES
from tests.data.sources.layouts import DAMAGED, WHOLE
from tests.documented import ROOT

LIBRARY = ("imagefolder", "saved_dataset")


def _named(layout):
    what = layout.problems[0] if layout.problems else layout.said or layout.notes[0]
    return f"{layout.of or layout.source}-{what[:50]}"


ROWS = {**WHOLE, **{_named(each): each for each in DAMAGED}}


def _is(line, expected, folder):
    """Whether a line is what is expected, where `@` is the folder and `…` anything."""
    parts = [re.escape(part) for part in expected.replace("@", str(folder)).split("…")]
    return re.fullmatch(".*".join(parts), line) is not None


def _shown(picture, folder):
    repeats = "" if picture.repeats == 1 else f" x{picture.repeats}"
    mask = f" ({picture.mask.relative_to(folder).as_posix()})" if picture.mask else ""
    return f"{picture.name}: {' | '.join(picture.captions)}{repeats}{mask}"


@pytest.mark.parametrize("name", ROWS, ids=lambda name: re.sub(r"\W+", "_", name))
def test_each_is_recognised_and_read_or_told(name, tmp_path):
    layout, folder = ROWS[name], tmp_path / "here"
    if layout.source in LIBRARY and not DATASETS_AVAILABLE:
        pytest.skip("datasets is not installed")
    scan = scan_folder(layout.write(folder), cache_dir=tmp_path / "cache", **layout.asked)
    assert [_shown(each, folder) for each in scan.pictures] == list(layout.pictures)
    for lines, expected in (
        (list(map(str, scan.problems)), layout.problems),
        (scan.notes, layout.notes),
    ):
        assert len(lines) == len(expected), lines
        pairs = zip(lines, expected, strict=True)
        assert [pair for pair in pairs if not _is(*pair, folder)] == []
    if layout.source:
        assert scan.found.startswith(SOURCES[layout.source].title)
    assert scan.found.endswith(layout.said)


def test_the_page_says_what_reads_each():
    page = (ROOT / "docs" / "layouts.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| (.+?) \| .* \| `?(\w+)`? \|$", page, re.MULTILINE))
    assert told == {name: each.source or "each" for name, each in WHOLE.items()}
    assert len(WHOLE) >= 12
    assert {each.source for each in WHOLE.values()} >= {*SOURCES} - {"hub"}


def test_a_source_that_is_named_goes_before_what_is_seen(write):
    rows = '{"file_name": "2_cat/0.png", "text": "one"}'
    folder = write({"2_cat/0.png": 0, "metadata.jsonl": rows})
    (picture,) = scan_folder(folder, source="kohya").pictures
    assert _shown(picture, folder) == "2_cat/0.png: cat x2"
