"""Prompt templates: how many, and of what form."""

from __future__ import annotations

from sdtune.data.prompt_templates import OBJECT_TEMPLATES, STYLE_TEMPLATES


def test_there_are_27_for_objects_and_19_for_styles() -> None:
    assert len(set(OBJECT_TEMPLATES)) == len(OBJECT_TEMPLATES) == 27
    assert len(set(STYLE_TEMPLATES)) == len(STYLE_TEMPLATES) == 19


def test_each_template_has_one_place_for_the_word() -> None:
    for template in OBJECT_TEMPLATES + STYLE_TEMPLATES:
        assert template.count("{}") == 1
        assert template.format("<erica>").count("<erica>") == 1
