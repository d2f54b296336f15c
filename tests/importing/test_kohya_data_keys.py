"""Beside regularisation pictures an epoch has the steps that it has in sd-scripts."""

from __future__ import annotations

from math import ceil

import pytest
from PIL import Image

import sdtune
from sdtune.importing.kohya_recipe import import_kohya
from sdtune.importing.kohya_settings import read_kohya
from tests.importing.kohya_files import LORA, config
from tests.importing.test_kohya_recipe import said

REPEATS, PICTURES = 3, 5


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, count in ((f"train/{REPEATS}_sks cat", PICTURES), ("class/1_cat", 4)):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (64, 64), (40 * number, 9 * count, 99)).save(folder / f"{number}.png")
    return tmp_path


def by_folder(batch: int) -> dict[str, object]:
    return {"train_data_dir": "train", "reg_data_dir": "class", "train_batch_size": batch}


def by_data_set(batch: int, repeats: int | None = REPEATS) -> dict[str, object]:
    own = {"image_dir": f"train/{REPEATS}_sks cat", "class_tokens": "sks cat"}
    own |= {} if repeats is None else {"num_repeats": repeats}
    regularisation = {"image_dir": "class/1_cat", "class_tokens": "cat", "is_reg": True}
    return {"datasets": [{"batch_size": batch, "subsets": [own, regularisation]}]}


@pytest.mark.parametrize("describe", [by_folder, by_data_set])
@pytest.mark.parametrize("batch", [1, 2, 3, 4])
def test_an_epoch_has_the_steps_of_there(batch, describe, folders):
    given = {key: value for key, value in LORA.items() if key != "train_data_dir"}
    path = config(folders, **given, max_train_epochs=2, **describe(batch))
    recipe = import_kohya(read_kohya(path))
    data = sdtune.SubjectDataModule(**recipe.content["data"]["init_args"])
    data.setup("fit")
    there = ceil(2 * REPEATS * PICTURES / batch)
    assert len(data.train_dataloader()) == there
    assert said(recipe)["trainer.max_epochs"] == 2
    assert said(recipe)["data.batch_size"] == (batch if batch % 2 else batch // 2)


def test_pictures_without_repeats_of_their_own_are_shown_twice(folders):
    given = {key: value for key, value in LORA.items() if key != "train_data_dir"}
    for batch, expected in ((1, 2), (2, None)):
        path = config(folders, **given, **by_data_set(batch, repeats=None))
        assert said(import_kohya(read_kohya(path))).get("data.repeats") == expected


def test_without_regularisation_pictures_batch_and_repeats_stay(tmp_path):
    path = config(tmp_path, **LORA, train_batch_size=4)
    found = said(import_kohya(read_kohya(path)))
    assert found["data.batch_size"] == 4
    assert "data.repeats" not in found
