import os

import pytest

from sdtune.run_folder.layout import (
    RunFolder,
    by_step,
    latest_checkpoint,
    step_label,
    step_name,
    step_of,
)


@pytest.mark.parametrize("step", [0, 200, 1234567])
def test_a_label_says_its_step(step):
    assert step_of(step_label(step)) == step
    assert step_name(step_label(step)) == f"step {step}"


def test_labels():
    assert step_label(200) == "step_000200"
    assert [step_of(each) for each in ("base", "step_", "step_2.png", "my_step_2")] == [None] * 4
    assert [step_name(each) for each in ("base", "step_000200", "mine")] == [
        "base",
        "step 200",
        "mine",
    ]


def test_what_is_named_after_steps_comes_in_their_order(tmp_path):
    for step in (1000000, 200, 999999):
        (tmp_path / step_label(step)).mkdir()
        (tmp_path / f"{step_label(step)}.png").touch()
    (tmp_path / "step_mine").mkdir()
    (tmp_path / "base.png").touch()
    assert list(by_step(tmp_path)) == list(by_step(tmp_path, ".png")) == [200, 999999, 1000000]
    assert by_step(tmp_path)[200] == tmp_path / "step_000200"
    assert by_step(tmp_path, ".png")[200] == tmp_path / "step_000200.png"
    assert by_step(tmp_path / "gone") == {}


def test_the_latest_start_has_the_highest_number(tmp_path):
    run = RunFolder(tmp_path / "style_lora" / "version_0")
    assert (run.name, run.recipe) == ("style_lora/version_0", "style_lora")
    assert run.next_config == run.latest_config == run.config
    run.path.mkdir(parents=True)
    run.config.touch()
    assert (run.next_config.name, run.latest_config) == ("config_2.yaml", run.config)
    for name in ("config_2.yaml", "config_10.yaml", "config_old.yaml"):
        (run.path / name).touch()
    assert run.latest_config.name == "config_10.yaml"
    assert run.next_config.name == "config_11.yaml"


def test_the_checkpoint_that_was_written_last(tmp_path):
    assert latest_checkpoint(tmp_path) is None
    for age, name in enumerate(("version_1", "version_0")):
        checkpoint = RunFolder(tmp_path / name).checkpoint
        checkpoint.parent.mkdir(parents=True)
        checkpoint.touch()
        os.utime(checkpoint, (age, age))
    assert latest_checkpoint(tmp_path) == tmp_path / "version_0" / "checkpoints" / "last.ckpt"
