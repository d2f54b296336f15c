from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdtune.captioning.grounds import find_ground
from sdtune.nano.making.scenes import PATTERNS, Background, random_background

SHIPPED = Path(__file__).parents[2] / "datasets"


def _named(path: Path) -> str | None:
    ground = find_ground(Image.open(path).convert("RGB"))
    return None if ground is None else _unordered(ground.caption)


def _unordered(words: str) -> str:
    """Put the two colours of stripes and squares, which look alike both ways, in one order."""
    first, *rest = words.split()
    if first not in ("striped", "checkered"):
        return words
    return f"{first} {' and '.join(sorted([rest[0], rest[2]]))} background"


def _written(text: str) -> str:
    text = text.strip()
    words = text[text.rindex(" on ") + len(" on ") :]
    return _unordered(words.partition(" ")[2])


def _subject(name: str) -> list[tuple[str | None, str]]:
    folder = SHIPPED / name
    rows = map(json.loads, (folder / "metadata.jsonl").read_text().splitlines())
    return [(_named(folder / row["file_name"]), _written(row["text"])) for row in rows]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_an_empty_background_is_found(pattern: str) -> None:
    rng = np.random.default_rng(7)
    grounds = [random_background(rng, [pattern]) for _ in range(20)]
    found = [find_ground(Image.fromarray(each.draw(64))) for each in grounds]
    hits = [
        each is not None and _unordered(each.caption) == _unordered(ground.caption)
        for each, ground in zip(found, grounds, strict=True)
    ]
    assert sum(hits) >= 18


@pytest.mark.parametrize(("name", "least"), [("subject_rabbit", 10), ("subject_cat", 8)])
def test_grounds_of_subjects_that_nano_has_not_seen_are_named(name: str, least: int) -> None:
    pairs = _subject(name)
    assert len(pairs) == 10
    assert sum(found == written for found, written in pairs) >= least


def test_grounds_of_a_style_that_nano_has_not_seen_are_named() -> None:
    folder = SHIPPED / "style_openmoji"
    paths = sorted(folder.glob("*.png"))[::2]
    hits = [_named(each) == _written(each.with_suffix(".txt").read_text()) for each in paths]
    assert sum(hits) == len(hits) == 61


def test_a_border_of_many_colours_is_no_background() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    blocks = Image.fromarray(noise).resize((32, 32), Image.Resampling.NEAREST)
    assert find_ground(blocks) is None


@pytest.mark.parametrize(
    ("level", "name"),
    [(40, "black"), (70, "black"), (90, "gray"), (110, "gray"), (170, "gray"), (200, "white")],
)
def test_a_grey_has_no_colour(level: int, name: str) -> None:
    grey = Image.new("RGB", (48, 48), (level, level, level))
    assert find_ground(grey) == Background("plain", (name,))


def test_colours_are_named_as_they_look() -> None:
    named = {(100, 60, 30): "brown", (255, 192, 203): "pink", (60, 200, 60): "green"}
    for colour, name in named.items():
        assert find_ground(Image.new("RGB", (48, 48), colour)) == Background("plain", (name,))


def test_a_large_picture_is_looked_at_as_a_small_one() -> None:
    ground = Background("dotted", ("pink", "white"), period=0.25)
    drawn = Image.fromarray(ground.draw(64))
    large = drawn.resize((1280, 1280), Image.Resampling.NEAREST)
    assert find_ground(large) == find_ground(drawn)
    assert find_ground(large).caption == "dotted pink and white background"
