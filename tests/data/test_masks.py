from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from sdtune.data.masks import masks_of, several_masks
from tests.data.sources.conftest import write_files


def _masks(*names):
    return {str(of): str(mask) for of, mask in masks_of(list(map(Path, names))).items()}


@pytest.mark.parametrize(
    ("names", "masks"),
    [
        (["a.png", "a_mask.png"], {"a.png": "a_mask.png"}),
        (["a.png", "mask/a_mask.jpg"], {"a.png": "mask/a_mask.jpg"}),
        (["A.PNG", "A_MASK.PNG"], {"A.PNG": "A_MASK.PNG"}),
        (["a_mask.png", "mask/b.png"], {}),
        (["a.png", "a_mask.png", "a_mask_mask.png"], {"a.png": "a_mask.png"}),
        # of one name: each has it
        (["b.jpg", "b.png", "b_mask.png"], {"b.jpg": "b_mask.png", "b.png": "b_mask.png"}),
    ],
)
def test_what_is_the_mask_of_what(names, masks):
    assert _masks(*names) == masks


@pytest.mark.parametrize("second", ["a-masklabel.png", "a_mask.jpg", "mask/a.png"])
def test_a_second_mask_is_no_picture_either(second):
    first, further = sorted(["a_mask.png", second])
    assert _masks("a.png", first, further) == {"a.png": first, further: further}


def test_names_are_one_in_any_form_of_their_accents():
    decomposed = unicodedata.normalize("NFD", "café.png")
    assert _masks(decomposed, "café_mask.png") == {decomposed: "café_mask.png"}
    # where the forms are two pictures, each has its own
    own = unicodedata.normalize("NFD", "café_mask.png")
    both = {decomposed: own, "café.png": "café_mask.png"}
    assert _masks(decomposed, "café.png", own, "café_mask.png") == both


def test_masks_are_looked_for_where_they_may_lie(tmp_path):
    files = {"a.png": 0, "a_mask.png": 1, "Masks/a.png": 2, "b.png": 3, "b_mask.png": 4}
    folder = write_files(tmp_path / "here", files)
    found = several_masks([folder / "a.png", folder / "b.png"])
    assert found == {folder / "a.png": [folder / "Masks" / "a.png", folder / "a_mask.png"]}
