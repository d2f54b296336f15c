import math

import numpy as np
import pytest
import torch
from PIL import Image

from sdtune.files.json_file import JsonFileError
from sdtune.run_folder.sample_rows import SampleRows, read_samples, rows_folder

SETTINGS = {"prompts": ["a", "b"], "guidance_scale": 7.5}


@pytest.fixture
def rows(tmp_path):
    return SampleRows(tmp_path / "rows", SETTINGS, tiles=2)


def images(value):
    return torch.stack([torch.full((3, 4, 6), value), torch.zeros(3, 4, 6)])


def test_rows_come_back_in_order_and_lossless(rows):
    exact = torch.arange(2 * 3 * 4 * 6).reshape(2, 3, 4, 6) / 255
    rows.write(1000, images(0.5))
    rows.write(200, exact)
    rows.write(None, images(0.25))
    read = rows.up_to(1000)
    assert [row.label for row in read] == ["base", "step 200", "step 1000"]
    levels = np.stack([np.asarray(tile) for tile in read[1].tiles])
    assert np.array_equal(levels, (exact * 255).permute(0, 2, 3, 1).numpy())


def test_rows_of_a_future_that_was_given_up_are_left_out(rows):
    for step in (200, 400):
        rows.write(step, images(0.5))
    assert [row.label for row in rows.up_to(399)] == ["step 200"]


def test_of_many_rows_some_are_read_the_first_and_the_last_among_them(rows):
    rows.write(None, images(0.5))
    for step in range(1, 10):
        rows.write(step, images(0.5))
    read = [row.label for row in rows.up_to(9, most=3)]
    assert read == ["base", "step 1", "step 5", "step 9"]
    assert [row.label for row in rows.up_to(3, most=3)] == ["base", "step 1", "step 2", "step 3"]
    assert len(rows.rows()) == 10


def test_rows_of_other_settings_are_not_mixed_in(rows):
    rows.write(None, images(0.5))
    other = SampleRows(rows.folder, SETTINGS | {"guidance_scale": 3.0}, tiles=2)
    assert not other.has(None)
    assert other.up_to(9) == []
    assert rows.has(None)


def test_another_folders_past_is_adopted(rows, tmp_path):
    rows.write(None, images(0.5))
    for step in (200, 400):
        rows.write(step, images(0.5))
    new = SampleRows(tmp_path / "new" / "rows", SETTINGS, tiles=2)
    new.adopt(rows.folder, step=200)
    assert [row.label for row in new.up_to(1000)] == ["base", "step 200"]
    new.adopt(tmp_path / "gone", step=200)


def test_broken_pictures_are_black(rows):
    rows.write(0, images(math.nan))
    assert rows.up_to(0)[0].tiles[0].getextrema() == ((0, 0),) * 3


def test_what_a_run_left_is_found_with_its_own_settings(tmp_path):
    assert read_samples(tmp_path / "nowhere") is None
    folder = rows_folder(tmp_path)
    rows = SampleRows(folder, {"prompts": ["a", "b"], "seeds": [7], "scale": 2.0}, tiles=2)
    rows.write(None, torch.zeros(2, 3, 8, 8))
    rows.write(200, torch.ones(2, 3, 8, 8))
    found = read_samples(tmp_path)
    assert (found.prompts, found.seeds, found.last_step) == (["a", "b"], [7], 200)
    assert [(row.label, len(row.tiles)) for row in found.rows] == [("base", 2), ("step 200", 2)]


def test_all_that_is_wrong_with_a_header_is_said(tmp_path):
    SampleRows(rows_folder(tmp_path), {"prompts": [], "seeds": ["7"]}, 1).write(3, images(0.5)[:1])
    with pytest.raises(JsonFileError) as caught:
        read_samples(tmp_path)
    path = rows_folder(tmp_path) / "step_000003.png"
    assert caught.value.problems == [
        f"{path}: Expected `prompts` to hold at least 1, but got [].",
        f"{path}: Expected `seeds[0]` to be an integer, but got '7'.",
    ]


def test_pictures_that_do_not_say_how_they_were_made_are_none(tmp_path):
    rows_folder(tmp_path).mkdir()
    Image.new("RGB", (8, 8)).save(rows_folder(tmp_path) / "step_000003.png")
    assert read_samples(tmp_path) is None
