"""nano's card, and the sheets of pictures on it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import sdtune.nano
from sdtune.nano.making.card import contact_sheet
from sdtune.nano.making.sources import HELD_OUT_SOURCES, TRAINING_SOURCES

_FOLDER = Path(sdtune.nano.__file__).parent


def test_the_card_credits_every_source_and_names_what_is_held_out() -> None:
    card = (_FOLDER / "README.md").read_text(encoding="utf-8")
    for source in TRAINING_SOURCES + HELD_OUT_SOURCES:
        assert f"`{source.package}` {source.version} | {source.licence}" in card


def test_the_card_tells_the_figures_that_were_measured() -> None:
    figures = json.loads((_FOLDER / "card" / "figures.json").read_text(encoding="utf-8"))
    card = (_FOLDER / "README.md").read_text(encoding="utf-8")
    assert f"{figures['psnr']:.1f} dB" in card
    assert f"{figures['object']:.0%}" in card


@pytest.mark.slow
def test_backgrounds_follow_the_prompt() -> None:
    sheet = contact_sheet(
        _FOLDER / "weights",
        [" on a red background", " on a blue background"],
        ["cat face"],
        steps=25,
    )
    left, right = sheet.getpixel((2, 2)), sheet.getpixel((98, 2))
    assert left[0] > left[2] + 60
    assert right[2] > right[0] + 60
