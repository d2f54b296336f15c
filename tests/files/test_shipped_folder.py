"""What comes with sdtune is found, and nothing that lies where it was named is hidden by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdtune.files import shipped_folder as module
from sdtune.files.shipped_folder import shipped_datasets, shipped_folder

ROOT = Path(__file__).parents[2]


def test_in_a_checkout_its_own_folders_are_found(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert shipped_folder("recipes") == ROOT / "recipes"
    assert shipped_folder("datasets") == ROOT / "datasets"


def test_copies_inside_the_package_go_first(monkeypatch, tmp_path):
    package = tmp_path / "site-packages" / "sdtune"
    (package / "shipped" / "recipes").mkdir(parents=True)
    (package / "shipped" / "recipes" / "style_lora.yaml").touch()
    monkeypatch.setattr(module, "_PACKAGE", package)
    assert shipped_folder("recipes") == package / "shipped" / "recipes"
    assert shipped_folder("datasets") is None
    assert shipped_datasets("datasets/style_openmoji") == "datasets/style_openmoji"


def test_a_set_is_found_from_anywhere_unless_something_lies_there(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert shipped_datasets("datasets/subject_cat") == str(ROOT / "datasets" / "subject_cat")
    Path("datasets/subject_cat").mkdir(parents=True)
    assert shipped_datasets("datasets/subject_cat") == "datasets/subject_cat"


@pytest.mark.parametrize("location", ["photos", "datasets", "datasets/none", "a/datasets/cat", ""])
def test_all_else_stays_as_it_was_given(location, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert shipped_datasets(location) == location


def test_nothing_above_the_folder_is_reached(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert shipped_datasets("datasets/..") == "datasets/.."
