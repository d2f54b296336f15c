from inspect import signature
from pathlib import Path

import pytest
import yaml

import sdtune
from sdtune.comparison.loss_settings import (
    CHANGE_LOSS,
    KEEP_LOSS,
    loss_differences,
    loss_settings,
)

CLASSES = [getattr(sdtune, name) for name in sdtune.__all__ if name.endswith("Module")]


def test_every_argument_changes_the_loss_or_keeps_it():
    known = {
        f"{'data' if 'DataModule' in each.__name__ else 'model'}.{name}"
        for each in CLASSES
        for name in signature(each).parameters
    }
    assert len(CLASSES) >= 8
    assert known - set(CHANGE_LOSS) - KEEP_LOSS == set(), "put it into one of loss_settings.py"
    assert (set(CHANGE_LOSS) | KEEP_LOSS) - known == set(), "there is no such argument any more"
    assert set(CHANGE_LOSS) & KEEP_LOSS == set()


def write_recipe(folder: Path, **model: object) -> Path:
    recipe = {
        "model": {
            "class_path": "sdtune.LoRAStyleModule",
            "init_args": {"rank": 2, "learning_rate": 1e-3, "min_snr_gamma": None, **model},
        },
        "data": {"class_path": "sdtune.StyleDataModule", "init_args": {"resolution": 64}},
    }
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return folder


def test_the_loss_is_told_by_the_resolved_recipe(tmp_path):
    plain = loss_settings(write_recipe(tmp_path / "a"))
    assert plain == {
        "model.class_path": "LoRAStyleModule",
        "model.min_snr_gamma": None,
        "data.class_path": "StyleDataModule",
        "data.resolution": 64,
    }
    faster = loss_settings(write_recipe(tmp_path / "b", rank=8, learning_rate=1.0))
    assert loss_differences([plain, faster]) == ""
    weighed = loss_settings(write_recipe(tmp_path / "c", min_snr_gamma=1.0))
    assert loss_differences([plain, faster, weighed]) == "`model.min_snr_gamma` (null and 1.0)"
    assert loss_settings(tmp_path / "nowhere") == {}
    assert loss_differences([plain, {}]) == ""


@pytest.mark.parametrize("key", sorted(CHANGE_LOSS))
def test_what_changes_the_loss_is_named(key):
    assert loss_differences([{key: 0.5}, {key: None}]) == f"`{key}` (0.5 and null)"


def test_an_argument_from_outside_changes_the_loss(tmp_path):
    one, other = (
        loss_settings(write_recipe(tmp_path / str(delta), huber_delta=delta)) for delta in (1, 2)
    )
    assert loss_differences([one, other]) == "`model.huber_delta` (1 and 2)"


def test_of_another_class_the_class_alone_is_told():
    lora = {"model.class_path": "LoRA", "model.min_snr_gamma": 1, "data.flip": True}
    word = {"model.class_path": "Word", "model.min_snr_gamma": 5, "data.flip": False}
    told = "`model.class_path` (LoRA and Word), `data.flip` (true and false)"
    assert loss_differences([lora, word]) == told
