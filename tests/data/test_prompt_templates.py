"""Prompt templates: how many, of what form, and which sample gets which."""

from __future__ import annotations

from collections import Counter

import pytest

from sdtune.data.prompt_templates import (
    OBJECT_TEMPLATES,
    STYLE_TEMPLATES,
    check_learnable_property,
    choose_template,
    fill_templates,
)


def test_there_are_27_for_objects_and_19_for_styles() -> None:
    assert len(set(OBJECT_TEMPLATES)) == len(OBJECT_TEMPLATES) == 27
    assert len(set(STYLE_TEMPLATES)) == len(STYLE_TEMPLATES) == 19


def test_each_template_has_one_place_for_the_word() -> None:
    for template in OBJECT_TEMPLATES + STYLE_TEMPLATES:
        assert template.count("{}") == 1
        assert template.format("<erica>").count("<erica>") == 1


def test_filled_templates_are_all_that_samples_get() -> None:
    captions = fill_templates("style", "<erica>")
    assert len(captions) == 19
    chosen = {choose_template("style", 0, 0, index).format("<erica>") for index in range(2000)}
    assert chosen == set(captions)


def test_a_sample_keeps_its_template_and_another_epoch_draws_anew() -> None:
    first = [choose_template("object", 42, 0, index) for index in range(100)]
    assert first == [choose_template("object", 42, 0, index) for index in range(100)]
    for other in ([42, 1], [43, 0]):
        drawn = [choose_template("object", *other, index) for index in range(100)]
        assert sum(a == b for a, b in zip(first, drawn, strict=True)) < 15


def test_templates_are_equally_frequent() -> None:
    counts = Counter(choose_template("object", 7, 3, index) for index in range(27 * 200))
    assert len(counts) == 27
    assert 140 < min(counts.values()) <= max(counts.values()) < 260


def test_an_unknown_set_is_refused_with_the_known_ones() -> None:
    check_learnable_property("object")
    with pytest.raises(ValueError, match="to be `object` or `style`, but got `person`"):
        check_learnable_property("person")
