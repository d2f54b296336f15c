"""Captions are those of sd-scripts, or it is said that they are not."""

from __future__ import annotations

import random
from itertools import product

import pytest

from sdtune.data.caption_rules import CaptionRules
from tests.importing.test_kohya_recipe import fate, imported, said

TAGS = "a, b, c"


def captions_there(prefix: str, suffix: str, keep: int, shuffle: bool, dropout: float) -> set[str]:
    """Replay `process_caption` of sd-scripts many times."""
    draw = random.Random(0)
    found = set()
    for _ in range(400):
        caption = f"{prefix} {TAGS}" if prefix else TAGS
        caption = f"{caption} {suffix}" if suffix else caption
        if shuffle or dropout:
            tags = [each.strip() for each in caption.strip().split(",")]
            fixed, loose = tags[:keep], tags[keep:]
            if shuffle:
                draw.shuffle(loose)
            caption = ", ".join([*fixed, *(each for each in loose if draw.random() >= dropout)])
        found.add(caption)
    return found


@pytest.mark.parametrize("prefix", ["", "sks,", "sks, ", "sks", "sks, cat,", "sks, cat"])
def test_captions_are_those_of_there_unless_it_is_said(prefix, tmp_path):
    for keep, (shuffle, dropout) in product(range(5), [(True, 0), (False, 0.5), (False, 0)]):
        recipe = imported(
            tmp_path,
            keep_tokens=keep,
            shuffle_caption=shuffle,
            caption_tag_dropout_rate=dropout,
            **({"caption_prefix": prefix} if prefix else {}),
        )
        told = said(recipe)
        rules = CaptionRules(
            prefix=told.get("data.caption_prefix", ""),
            shuffle_tags=told["data.shuffle_tags"],
            tag_dropout=told["data.tag_dropout"],
            keep_tokens=told["data.keep_tokens"],
        )
        ours = {rules.drawn([TAGS], 0, 0, index).rstrip(" ,") for index in range(400)}
        there = {each.rstrip(" ,") for each in captions_there(prefix, "", keep, shuffle, dropout)}
        there = {" ".join(each.split()) for each in there}
        says_so = fate(recipe, "caption_prefix") == ["no equal"]
        assert (ours == there) != says_so, (keep, shuffle, dropout, ours, there)


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "taken over"), ({"shuffle_caption": True}, "no equal")],
)
def test_a_suffix_that_would_be_drawn_is_said(given, expected, tmp_path):
    recipe = imported(tmp_path, caption_suffix=", ink", **given)
    assert said(recipe)["data.caption_suffix"] == ", ink"
    assert fate(recipe, "caption_suffix") == [expected]


def test_what_to_do_about_a_prefix_is_said(tmp_path):
    recipe = imported(tmp_path, caption_prefix="sks", shuffle_caption=True)
    note = next(each for each in recipe.told if each.key == "caption_prefix").outcome.note
    assert "there it is 1 tag, the last with the first words of the caption" in note
    assert "write it into the captions" in note
