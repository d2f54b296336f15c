import os

import pytest

from sdtune.cli import main
from sdtune.commands.errors import CallError
from sdtune.commands.recipe import options, part_options, read_yaml


def test_options_come_in_their_order():
    words = ["--config", "a.yaml", "--model.rank=8", "--resume", "--seed", "3", "-c", "b.yaml"]
    assert list(options(words)) == [
        ("config", "a.yaml"),
        ("model.rank", "8"),
        ("resume", None),
        ("seed", "3"),
        ("config", "b.yaml"),
    ]


def test_options_take_negative_numbers():
    assert list(options(["--trainer.max_steps", "-1"])) == [("trainer.max_steps", "-1")]


def test_a_recipes_options_are_parted_from_a_commands_own_words():
    words = ["a.yaml", "--budget", "3", "--model.rank", "8", "--seed=1", "--model.flag", "--data.x"]
    assert part_options(words, lambda name: "." in name or name == "seed") == (
        ["a.yaml", "--budget", "3"],
        ["--model.rank=8", "--seed=1", "--model.flag", "--data.x"],
    )


def test_options_refuse_a_stray_word():
    with pytest.raises(CallError, match="got `stray`"):
        list(options(["--seed", "3", "stray"]))


def test_a_missing_recipe_names_the_nearest_file(recipe):
    with pytest.raises(CallError, match=r"`tooy.yaml`, which does not exist; .* `toy.yaml`"):
        read_yaml("tooy.yaml")


@pytest.mark.parametrize(
    "text",
    ["a: [1", "seed: 1\na: {b: 1}\nseed: 2\n", "a: [{b: 1, b: 1}]", "- a\n- b\n", "just words", ""],
)
def test_a_file_that_is_no_recipe_is_refused(tmp_path, text):
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CallError, match=r"bad.yaml` to be a"):
        read_yaml(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are POSIX's")
def test_a_pipe_is_not_waited_for(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(CallError, match=r"pipe\.yaml` is a named pipe, which is not opened"):
        read_yaml(tmp_path / "pipe.yaml")
    assert main(["check", str(tmp_path / "pipe.yaml")]) == 2
    assert "pipe.yaml` is a named pipe" in capsys.readouterr().err
