"""What goes first among kohya's files, and which of them are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sdtune._checks import ArgumentsError
from sdtune.importing.kohya_recipe import import_kohya
from sdtune.importing.kohya_settings import read_kohya
from tests.importing.kohya_files import LORA, config
from tests.importing.test_kohya_recipe import fate, said

BARE = {key: value for key, value in LORA.items() if key not in ("train_data_dir", "resolution")}


def data_set(folder: Path, *subsets: dict[str, Any], **values: Any) -> Path:
    described = {"resolution": 64, "batch_size": 2, "subsets": list(subsets)} | values
    return config(folder, "data.toml", datasets=[described])


def read(folder: Path, *subsets: dict[str, Any], **values: Any) -> Any:
    data_set(folder, *subsets, **values)
    return import_kohya(read_kohya(config(folder, **BARE, dataset_config="data.toml")))


def test_a_subset_goes_before_its_data_set_and_that_before_the_training(tmp_path):
    data_set(tmp_path, {"image_dir": "a", "keep_tokens": 3}, keep_tokens=2, shuffle_caption=True)
    path = config(
        tmp_path,
        **BARE,
        dataset_config="data.toml",
        keep_tokens=1,
        train_batch_size=8,
        flip_aug=True,
        train_data_dir="elsewhere",
    )
    recipe = import_kohya(read_kohya(path))
    expected = {
        "data.folder": "a",
        "data.keep_tokens": 3,
        "data.shuffle_tags": True,
        "data.flip": True,
        "data.batch_size": 2,
    }
    assert said(recipe).items() >= expected.items()
    assert "data.source" not in said(recipe)
    assert (
        fate(recipe, "train_batch_size") == fate(recipe, "train_data_dir") == ["meaningless here"]
    )
    assert sorted(fate(recipe, "keep_tokens")) == ["meaningless here", "taken over"]


def test_sections_of_the_training_configuration_are_one(tmp_path):
    (tmp_path / "train.toml").write_text(
        '[a]\nresolution = 64\n[b]\ntrain_data_dir = "x"\nnetwork_dim = 2\n'
        '[c]\nnetwork_module = "networks.lora"\npretrained_model_name_or_path = "nano"\n'
        "network_dim = 8\n"
    )
    recipe = import_kohya(read_kohya(tmp_path / "train.toml"))
    assert said(recipe)["model.rank"] == 8
    assert sorted(fate(recipe, "network_dim")) == ["meaningless here", "taken over"]


def test_folders_keep_their_own_repeats(tmp_path):
    recipe = read(tmp_path, {"image_dir": "a", "num_repeats": 3}, {"image_dir": "b"})
    assert said(recipe)["data.folder"] == {"a": 3, "b": 1}
    assert "data.repeats" not in said(recipe)
    one = read(tmp_path, {"image_dir": "a", "num_repeats": 3})
    assert said(one).items() >= {"data.folder": "a", "data.repeats": 3}.items()


def test_regularisation_pictures_make_it_dreambooth(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    recipe = read(
        tmp_path,
        {"image_dir": "a", "num_repeats": 3, "class_tokens": "sks cat"},
        {"image_dir": "b", "is_reg": True, "class_tokens": "cat", "flip_aug": True},
    )
    assert recipe.content["model"]["class_path"] == "sdtune.DreamBoothModule"
    expected = {
        "data.instance_dir": "a",
        "data.instance_prompt": "sks cat",
        "data.class_dir": "b",
        "data.class_prompt": "cat",
        "data.repeats": 3,
        "model.prior_loss_weight": 1.0,
    }
    assert said(recipe).items() >= expected.items()
    assert "data.flip" not in said(recipe)
    assert fate(recipe, "flip_aug") == ["no equal"]


@pytest.mark.parametrize("name", ["a.txt", "A.TXT", "a.Caption", "below/a.txt"])
def test_captions_go_before_class_tokens(name, tmp_path):
    folder = tmp_path / "pictures"
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text("a cat")
    recipe = read(tmp_path, {"image_dir": str(folder), "class_tokens": "sks cat"})
    assert recipe.content["model"]["class_path"] == "sdtune.LoRAStyleModule"
    assert fate(recipe, "class_tokens") == ["no equal"]


@pytest.mark.parametrize("name", ["README.txt", ".a.txt", "a.md"])
def test_other_texts_are_no_captions(name, tmp_path):
    (tmp_path / name).write_text("mine")
    recipe = read(tmp_path, {"image_dir": str(tmp_path), "class_tokens": "sks cat"})
    assert recipe.content["model"]["class_path"] == "sdtune.DreamBoothModule"
    assert said(recipe)["data.instance_prompt"] == "sks cat"


def test_whether_a_folder_elsewhere_has_captions_is_not_guessed(tmp_path):
    nowhere = {"image_dir": "/data/nowhere", "class_tokens": "sks cat"}
    for subsets in ([nowhere], [nowhere, {"image_dir": "b"}], [{"image_dir": "b"}, nowhere]):
        with pytest.raises(ArgumentsError) as caught:
            read(tmp_path, *subsets)
        [problem] = caught.value.problems
        assert "Expected `class_tokens` to be of a folder that is here" in problem
        assert "(`/data/nowhere` is not, or cannot be read: call this where it is" in problem
    recipe = read(tmp_path, {"image_dir": "/data/nowhere"})
    assert recipe.content["model"]["class_path"] == "sdtune.LoRAStyleModule"


def test_without_a_network_the_whole_unet_learns(tmp_path):
    given = {key: value for key, value in LORA.items() if key != "network_module"}
    recipe = import_kohya(read_kohya(config(tmp_path, **given, learning_rate=1e-5)))
    expected = {"model.full_finetune": True, "model.learning_rate": 1e-5}
    assert said(recipe).items() >= expected.items()
    assert said(recipe)["model.prior_loss_weight"] == 0.0
    assert "model.text_encoder_learning_rate" not in said(recipe)


@pytest.mark.parametrize(
    ("subsets", "values", "message"),
    [
        ([{"image_dir": "a"}, {"image_dir": "b", "flip_aug": True}], {}, "the same `flip_aug`"),
        ([{"num_repeats": 2}], {}, "to have an `image_dir`"),
        ([{"image_dir": "a", "num_repeats": 0}], {}, "`num_repeats` of each subset"),
        ([{"image_dir": "a", "is_reg": True}], {}, "a subset of pictures, but it has none"),
        (
            [{"image_dir": "a"}, {"image_dir": "b"}, {"image_dir": "c", "is_reg": True}],
            {},
            "`image_dir` to be one folder of instance pictures beside regularisation pictures, but",
        ),
        ([{"image_dir": "a"}], {"keep_tokens": -1}, "`keep_tokens` to be an integer of 0"),
    ],
)
def test_what_one_recipe_cannot_say_is_refused(subsets, values, message, tmp_path):
    with pytest.raises(ArgumentsError) as caught:
        read(tmp_path, *subsets, **values)
    assert any(message in each for each in caught.value.problems), caught.value.problems


def test_one_text_for_all_pictures_is_not_for_several_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bare").mkdir()
    captioned = tmp_path / "captioned"
    captioned.mkdir()
    (captioned / "a.txt").write_text("a cat")
    subsets = [{"image_dir": str(captioned)}, {"image_dir": "bare", "class_tokens": "sks cat"}]
    with pytest.raises(ArgumentsError) as caught:
        read(tmp_path, *subsets, network_args=["conv_dim=4"])
    [problem] = [each for each in caught.value.problems if "`image_dir`" in each]
    assert "or several that all have captions (`bare` has none, and `class_tokens`" in problem
    assert "`sdtune caption bare` writes captions" in problem
    whole = {key: value for key, value in BARE.items() if key != "network_module"}
    described = [{"resolution": 64, "subsets": [{"image_dir": "a"}, {"image_dir": "b"}]}]
    with pytest.raises(ArgumentsError, match="where there is no `network_module`"):
        import_kohya(read_kohya(config(tmp_path, **whole, datasets=described)))


@pytest.mark.parametrize(
    ("name", "fault"),
    [("missing.toml", "there is no such file"), ("../data.toml", "it is elsewhere, and not read")],
)
def test_a_data_set_that_is_not_read_is_told_why(name, fault, tmp_path):
    with pytest.raises(ArgumentsError, match=fault):
        read_kohya(config(tmp_path, **BARE, dataset_config=name))


def test_a_text_of_another_encoding_is_told_with_the_way_out(tmp_path):
    path = tmp_path / "train.toml"
    path.write_text("network_dim = 4", encoding="utf-16")
    with pytest.raises(ArgumentsError, match=r"train\.toml to be a TOML file, but it is UTF-16.*"):
        read_kohya(path)


def test_a_list_of_very_many_keys_is_cut(tmp_path):
    many = {f"key_{number}": number for number in range(40_000)}
    recipe = import_kohya(read_kohya(config(tmp_path, **LORA, **many)))
    lines = list(recipe.lists())
    assert "Not known to sdtune, and left out (40000):" in lines
    assert "  key_199 = 199" in lines
    assert "  and 39,800 more" in lines
    assert len(lines) < 300


def test_a_file_elsewhere_is_read_only_if_the_call_names_it(tmp_path):
    inside = tmp_path / "in"
    inside.mkdir()
    data_set(tmp_path, {"image_dir": "a"})
    for name in ("../data.toml", str(tmp_path / "data.toml"), "missing.toml"):
        path = config(inside, **BARE, dataset_config=name)
        with pytest.raises(ArgumentsError, match="--dataset FILE"):
            read_kohya(path)
    (inside / "link.toml").symlink_to(tmp_path / "data.toml")
    with pytest.raises(ArgumentsError, match="--dataset FILE"):
        read_kohya(config(inside, **BARE, dataset_config="link.toml"))
    settings = read_kohya(path, tmp_path / "data.toml")
    assert settings.instance[0].folder == "a"


def test_a_file_may_hold_both_and_then_no_other_is_named(tmp_path):
    described = [{"resolution": 64, "subsets": [{"image_dir": "a"}]}]
    both = config(tmp_path, **BARE, datasets=described)
    assert said(import_kohya(read_kohya(both)))["data.folder"] == "a"
    with pytest.raises(ArgumentsError, match="Expected one description of the data set"):
        read_kohya(both, data_set(tmp_path, {"image_dir": "b"}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a = ", "to be a TOML file, but"),
        ('a = "\\u0000"', "null character"),
        ("a = [" * 3000, "to be a TOML file, but"),
        ("a = " + "9" * 5000, "to be a TOML file, but"),
        ("#" * 1_000_001, "larger than 1 MB"),
        ("\ud800", "to be a TOML file, but"),
    ],
    ids=["broken", "null", "deep", "digits", "large", "bytes"],
)
def test_a_damaged_file_is_one_sentence(content, message, tmp_path):
    path = tmp_path / "train.toml"
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(ArgumentsError) as caught:
        read_kohya(path)
    (problem,) = caught.value.problems
    assert message in problem
    assert "\n" not in problem


def test_sample_prompts_become_those_of_the_grid(tmp_path):
    (tmp_path / "prompts.txt").write_text(
        "# for the grid\na cat --n ugly, bad --w 100 --h 64 --d 3 --l 4.5 --s 12\n\n"
        "a dog--like cat --d 4\na cat --d 9\n"
    )
    given = LORA | {"sample_prompts": "prompts.txt", "sample_every_n_steps": 50}
    recipe = import_kohya(read_kohya(config(tmp_path, **given)))
    assert (
        said(recipe).items()
        >= {
            "SampleGrid.every_n_steps": 50,
            "SampleGrid.width": 96,
            "SampleGrid.guidance_scale": 4.5,
            "SampleGrid.num_inference_steps": 12,
            "SampleGrid.negative_prompt": "ugly, bad",
        }.items()
    )
    assert said(recipe)["SampleGrid.prompts"] == ["a cat", "a dog--like cat"]
    assert said(recipe)["SampleGrid.seeds"] == [3]
    told = next(each for each in recipe.told if each.key == "sample_prompts")
    assert told.outcome.note == "all are drawn with the first one's options"


@pytest.mark.parametrize(
    ("content", "message"), [("a cat --s none", "`--s` is an integer"), ("#\n", "a prompt a line")]
)
def test_a_file_of_prompts_that_says_nothing_is_refused(content, message, tmp_path):
    (tmp_path / "prompts.txt").write_text(content)
    path = config(tmp_path, **LORA, sample_prompts="prompts.txt")
    with pytest.raises(ArgumentsError, match=message):
        import_kohya(read_kohya(path))
