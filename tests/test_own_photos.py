"""A folder of photos and a noun are all that a recipe of a subject asks for."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from safetensors import safe_open

from sdtune.adapters.adapter_set import AdapterSet
from sdtune.cli import main
from sdtune.commands.recipe import read_yaml
from tests.captioning.tiny_captioners import make_tiny_blip

ROOT = Path(__file__).parents[1]
BASES = ("", "sd14/", "sdxl/")
RECIPES = ("dreambooth", "textual_inversion", "pivotal_tuning")


@pytest.fixture(autouse=True)
def _root_folder(monkeypatch):
    monkeypatch.chdir(ROOT)
    # tests/test_recipes.py proves the files of the same recipes
    monkeypatch.setattr(AdapterSet, "verify", lambda *_: 0.0)


@pytest.fixture
def photos(tmp_path):
    """Ten pictures of one thing, and no caption."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in (ROOT / "datasets" / "subject_rabbit").glob("*.png"):
        shutil.copy(path, folder)
    assert len(list(folder.iterdir())) == 10
    return folder


def _words(recipe: str, photos: Path) -> list[str]:
    if recipe != "multi_concept":
        return [f"--data.instance_dir={photos}", "--data.class_noun=robot"]
    concepts = [
        {"instance_dir": str(photos), "class_noun": "robot", "class_count": 2},
        {"instance_dir": "datasets/subject_cat", "class_noun": "red cat", "class_count": 2},
    ]
    return [f"--data.concepts={json.dumps(concepts)}"]


def _cheap(recipe: str, folder: Path) -> str:
    """Copy a recipe: two small steps, a prompt a callback, two class pictures, short sampling.

    Without grids and losses of pictures: tests/test_recipes.py has these of the same recipes.
    """
    content = read_yaml(ROOT / "recipes" / f"{recipe}.yaml")
    content["trainer"]["max_steps"] = 2
    content["data"]["init_args"]["batch_size"] = 2
    content["trainer"]["callbacks"] = [
        each
        for each in content["trainer"]["callbacks"]
        if each["class_path"] in ("sdtune.EvaluationCallback", "sdtune.AdapterCheckpoint")
    ]
    for callback in content["trainer"]["callbacks"]:
        arguments = callback.get("init_args", {})
        if "clip" in arguments:
            arguments["clip"] = "nano"
        for key in {"prompts", "class_prompts"} & arguments.keys():
            arguments[key] = arguments[key][:1]
            arguments["num_inference_steps"] = 1
    text = re.sub(r"\b(class_count|mixed_count): \S+", r"\1: 2", yaml.safe_dump(content))
    text = re.sub(r"\bclass_inference_steps: \S+", "class_inference_steps: 1", text)
    copy = folder / f"{Path(recipe).name}.yaml"
    copy.write_text(text, encoding="utf-8")
    return str(copy)


@pytest.mark.parametrize("recipe", [*RECIPES, "multi_concept"])
def test_check_says_which_words_are_chosen_and_what_will_make_captions(recipe, photos, capsys):
    assert main(["check", f"recipes/{recipe}.yaml", *_words(recipe, photos)]) == 0
    printed = capsys.readouterr().out
    subject = "qqq robot" if recipe == "dreambooth" else "<robot>"
    assert f"call the subject `{subject}`" in printed
    assert "10 of 10 pictures have no caption; captions will be made when training" in printed
    assert "`clip`, nano's words for backgrounds" in printed
    assert "no problems found" in printed


@pytest.mark.parametrize("recipe", [*RECIPES, "multi_concept"])
@pytest.mark.parametrize("base", BASES)
def test_no_recipe_says_cat_of_another_subject_in_what_is_trained_or_scored(recipe, base):
    """What is left of the shipped subject in prompts that say `{subject}` would be learned."""
    text = (ROOT / "recipes" / base / f"{recipe}.yaml").read_text(encoding="utf-8")
    prompts = [line for line in text.splitlines() if "{subject" in line and "#" not in line[:1]]
    assert len(prompts) >= 6
    assert not [line for line in prompts if re.search(r"\b(cat|rabbit|erica|hazel)\b", line)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "base"),
    [
        ("sd14/textual_inversion", "micro_sd"),
        ("sdxl/dreambooth", "shallow_xl"),
    ],
)
def test_recipes_for_other_bases_let_blip_describe_photos(
    recipe, base, photos, tmp_path, request, monkeypatch
):
    monkeypatch.setattr("sdtune.captioning.blip._MODEL", str(make_tiny_blip(tmp_path / "blip")))
    small = {
        "model.base": request.getfixturevalue(base),
        "data.resolution": 64,
        "trainer.precision": "32-true",
        "trainer.accelerator": "cpu",
        "trainer.devices": 1,
    }
    if "textual_inversion" in recipe:
        small["model.initializer_token"] = "c"  # the small model knows letters and no words
    else:
        small["model.class_inference_steps"] = 1
    call = ["fit", "--config", _cheap(recipe, tmp_path), *_words(recipe, photos)]
    call += [f"--{key}={value}" for key, value in small.items()]
    call += ["--run=own", f"--trainer.default_root_dir={tmp_path / 'runs'}"]
    assert main(call) == 0
    run = tmp_path / "runs" / Path(recipe).name / "own"
    made = json.loads((run / "captions.json").read_text())["captions"]
    assert {each["captioner"] for each in made} == {"blip"}
    captions = [each["caption"] for each in made]
    assert len(captions) == 10
    article = "an" if "dreambooth" in recipe else "a"  # erica robot
    assert all(each.startswith(f"{article} {{subject}} ") for each in captions)
    evaluated = json.loads((run / "evaluation.json").read_text())["protocol"]["prompts"]
    subject = "erica robot" if "dreambooth" in recipe else "<robot>"
    assert all(subject in each for each in evaluated)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["dreambooth", "textual_inversion", "multi_concept"])
def test_each_technique_learns_from_photos_without_captions(recipe, photos, tmp_path, capsys):
    call = ["fit", "--config", _cheap(recipe, tmp_path), *_words(recipe, photos)]
    call += ["--run=own", f"--trainer.default_root_dir={tmp_path / 'runs'}"]
    assert main(call) == 0
    run = tmp_path / "runs" / recipe / "own"
    made = json.loads((run / "captions.json").read_text())["captions"]
    captions = {each["picture"]: each["caption"] for each in made}
    assert len(captions) == 10
    assert captions["rabbit_face_01.png"] == "a {subject} on a pink background"
    assert not list(photos.glob("*.txt"))
    subject = "qqq robot" if recipe == "dreambooth" else "<robot>"
    evaluated = json.loads((run / "evaluation.json").read_text())["protocol"]["prompts"]
    assert f"a {subject} on a" in evaluated[0]
    files = list((run / "adapter").glob("*.safetensors"))
    assert files
    for file in files:
        with safe_open(file, "pt") as opened:
            header = opened.metadata()
        fields = json.loads(header["sdtune.prompt_fields"])
        assert fields["subject_1"] == [subject, "robot"]
        assert len(json.loads(header["sdtune.made_captions"])) == 10
