from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from sdtune.data.caption_rules import CaptionRules


def test_nothing_is_changed_by_default():
    assert CaptionRules().drawn(["a  cat , sits"], 0, 0, 0) == "a  cat , sits"
    assert CaptionRules().forms("a cat, sits", 1) == ["a cat, sits"]


@pytest.mark.parametrize(
    ("rules", "whole"),
    [
        (CaptionRules("sks"), "sks a cat"),
        (CaptionRules("sks, ", " on film"), "sks, a cat on film"),
        (CaptionRules(suffix=", on film"), "a cat, on film"),
        (CaptionRules().with_words("ink style"), "a cat, ink style"),
        (CaptionRules(suffix="on film").with_words("ink style"), "a cat on film, ink style"),
    ],
)
def test_prefix_suffix_and_trigger(rules, whole):
    assert rules.whole("a cat") == rules.drawn(["a cat"], 0, 0, 0) == whole


@pytest.mark.parametrize(
    ("rules", "empty"),
    [
        (CaptionRules().with_words("ink style"), "ink style"),
        (CaptionRules(suffix=", on film").with_words("ink style"), "on film, ink style"),
        (CaptionRules("sks").with_words("ink style"), "sks, ink style"),
        (CaptionRules("sks, ").with_words("ink style"), "sks, ink style"),
        (CaptionRules("sks, ", "on film"), "sks, on film"),
        (CaptionRules("sks", "on film"), "sks on film"),
        (CaptionRules("sks, "), "sks"),
        (CaptionRules(", sks"), "sks"),
    ],
)
def test_no_comma_is_left_of_a_caption_whose_tags_are_all_left_out(rules, empty):
    assert rules.whole("") == empty
    dropped = replace(rules, tag_dropout=1.0)
    assert dropped.drawn(["cat, dog"], 0, 0, 0) == empty
    assert empty in (dropped.forms("cat, dog", 24) or [])


@pytest.mark.parametrize("tag", [";d", ";)", ";p", "...", "; ;", ":d"])
@pytest.mark.parametrize(
    ("rules", "before", "after"),
    [
        (CaptionRules(suffix=", style x"), "", ", style x"),
        (CaptionRules().with_words("ink style"), "", ", ink style"),
        (CaptionRules("sks, "), "sks, ", ""),
        (CaptionRules("sks;", "on film"), "sks; ", " on film"),
    ],
)
def test_a_first_tag_that_begins_as_dividers_do_stays_whole(rules, before, after, tag):
    assert rules.whole(f"{tag}, 1girl") == f"{before}{tag}, 1girl{after}"
    shuffled = replace(rules, shuffle_tags=True)
    assert f"{before}{tag}, 1girl{after}" in shuffled.forms(f"1girl, {tag}", 24)


def test_tags_of_prefix_and_suffix_stay_whole_where_no_caption_is_between():
    assert CaptionRules(";d, ", ", on film").whole("") == ";d, on film"
    assert CaptionRules("sks, ", ";d").whole("") == "sks, ;d"
    assert CaptionRules(suffix="; on film").whole("") == "on film"
    assert CaptionRules("sks").whole(";d") == "sks ;d"
    assert CaptionRules("sks", ".").whole("a cat") == "sks a cat."


def test_tags_are_shuffled_behind_those_that_stay():
    rules = CaptionRules("sks", shuffle_tags=True, keep_tokens=1).with_words("ink style")
    drawn = [rules.drawn(["girl, a,b ,, c"], 7, epoch, 3) for epoch in range(600)]
    orders = Counter(drawn)
    assert len(orders) == 6
    assert all(each.startswith("sks girl, ") for each in orders)
    assert all(each.endswith(", ink style") for each in orders)
    assert all(70 < count < 135 for count in orders.values())  # 100 in the mean
    assert drawn == [rules.drawn(["girl, a,b ,, c"], 7, epoch, 3) for epoch in range(600)]
    assert drawn != [rules.drawn(["girl, a,b ,, c"], 8, epoch, 3) for epoch in range(600)]
    assert drawn != [rules.drawn(["girl, a,b ,, c"], 7, epoch, 4) for epoch in range(600)]


def test_a_share_of_the_tags_is_left_out_and_the_order_stays():
    rules = CaptionRules(tag_dropout=0.25, keep_tokens=1)
    drawn = [rules.drawn(["k, a, b, c, d"], 0, epoch, 0).split(", ") for epoch in range(1000)]
    assert all(tags[0] == "k" and tags == sorted(tags, key="kabcd".index) for tags in drawn)
    shares = Counter(tag for tags in drawn for tag in tags[1:])
    assert all(700 < shares[tag] < 800 for tag in "abcd")


def test_one_of_several_captions_is_drawn():
    drawn = Counter(CaptionRules().drawn(["x", "y", "z"], 0, epoch, 5) for epoch in range(900))
    assert set(drawn) == {"x", "y", "z"}
    assert all(250 < count < 350 for count in drawn.values())


@pytest.mark.parametrize(
    "rules",
    [
        CaptionRules("p", shuffle_tags=True, keep_tokens=1),
        CaptionRules(tag_dropout=0.5, keep_tokens=1),
        CaptionRules(shuffle_tags=True, tag_dropout=0.5, keep_tokens=2),
        CaptionRules(tag_dropout=0.5),
    ],
)
def test_the_forms_are_all_that_is_drawn(rules):
    caption = "k, a, b, c"
    forms = rules.forms(caption, 100)
    assert len(forms) == len(set(forms))
    assert set(forms) == {rules.drawn([caption], 0, epoch, 1) for epoch in range(2000)}


def test_too_many_forms_are_not_listed():
    rules = CaptionRules(shuffle_tags=True)
    assert len(rules.forms("a, b, c, d", 24)) == 24
    assert rules.forms("a, b, c, d, e", 24) is None
    assert rules.forms(", ".join(map(str, range(500))), 24) is None
    assert CaptionRules(tag_dropout=0.1).forms(", ".join(map(str, range(500))), 24) is None
    assert rules.undrawn().forms("a, b, c, d, e", 24) == ["a, b, c, d, e"]
