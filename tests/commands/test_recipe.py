from pathlib import Path

import pytest

from sdtune.commands.errors import CallError
from sdtune.commands.recipe import options, read_recipe, recipe_paths

TOY = "tests.commands.toys.Toy"


def test_options_come_in_their_order():
    words = ["--config", "a.yaml", "--model.rank=8", "--resume", "--seed", "3", "-c", "b.yaml"]
    assert list(options(words)) == [
        ("config", "a.yaml"),
        ("model.rank", "8"),
        ("resume", None),
        ("seed", "3"),
        ("config", "b.yaml"),
    ]
    assert recipe_paths(words) == [Path("a.yaml"), Path("b.yaml")]


def test_options_take_negative_numbers():
    assert list(options(["--trainer.max_steps", "-1"])) == [("trainer.max_steps", "-1")]


def test_options_refuse_a_stray_word():
    with pytest.raises(CallError, match="got `stray`"):
        list(options(["--seed", "3", "stray"]))


def test_overrides_win_over_the_file_before_them(recipe):
    merged = read_recipe(["--config", recipe, "--model.rank", "8", "--data.init_args.folder", "x"])
    assert merged["model"] == {"class_path": TOY, "init_args": {"rank": "8"}}
    assert merged["data"]["init_args"] == {"folder": "x"}
    assert merged["trainer"]["max_steps"] == 3


def test_a_later_file_wins_over_overrides_before_it(recipe):
    assert (
        read_recipe(["--trainer.max_steps", "9", "--config", recipe])["trainer"]["max_steps"] == 3
    )


def test_an_appended_callback_comes_last(recipe):
    callbacks = read_recipe(["--config", recipe, "--trainer.callbacks+=sdtune.SampleGrid"])
    assert callbacks["trainer"]["callbacks"][1:] == [{"class_path": "sdtune.SampleGrid"}]


def test_another_class_inherits_the_arguments_of_the_former(recipe):
    merged = read_recipe(["--config", recipe, "--model", "other.Class", "--model.momentum", "0.5"])
    assert merged["model"] == {
        "class_path": "other.Class",
        "inherited": {"rank": 4},
        "init_args": {"momentum": "0.5"},
    }


def test_resume_without_a_path_is_the_last_run(recipe):
    assert read_recipe(["--config", recipe, "--resume"])["resume"] == "last"
    assert read_recipe(["--config", recipe, "--resume", "x.ckpt"])["resume"] == "x.ckpt"


def test_a_missing_recipe_names_the_nearest_file(recipe):
    with pytest.raises(CallError, match=r"`tooy.yaml`, which does not exist; .* `toy.yaml`"):
        read_recipe(["--config", "tooy.yaml"])


@pytest.mark.parametrize("text", ["a: [1", "- a\n- b\n", "just words", ""])
def test_a_file_that_is_no_recipe_is_refused(tmp_path, text):
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CallError, match=r"bad.yaml` to be a"):
        read_recipe(["--config", str(path)])
