"""CONTRIBUTING.md and CHANGELOG.md name what is there."""

import re
from pathlib import Path

import pytest

import sdtune

ROOT = Path(__file__).parents[1]


def links(name: str) -> list[str]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "README.md"])
def test_every_file_that_is_linked_is_there(name):
    missing = [link for link in links(name) if not (ROOT / link.partition("#")[0]).exists()]
    assert missing == []


def test_each_thing_to_add_has_its_steps_and_a_proof():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    sections = re.split(r"^## ", text, flags=re.MULTILINE)
    adding = {s.partition("\n")[0]: s for s in sections if s.startswith("Add ")}
    assert len(adding) == 6
    for title, section in adding.items():
        assert "1. One file" in section, title
        assert re.search(r"Proof:\n?.*\n?.*\[tests/", section), title


def test_the_changes_name_the_version_or_are_not_released():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "## Unreleased" in text or f"## {sdtune.__version__}" in text
