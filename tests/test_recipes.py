"""Every recipe parses against the code that it configures, and runs for two steps."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from diffusers import StableDiffusionPipeline

import sdtune
from sdtune.adapters.adapter_set import AdapterSet
from sdtune.cli import main
from sdtune.commands.comparing import plan_runs
from sdtune.commands.comparison_file import is_comparison, read_comparison
from sdtune.commands.recipe import read_yaml
from sdtune.commands.recipe_cli import recipe_problems
from tests.fast_part import some_fast
from tests.picture_folders import few_of_the_style

ROOT = Path(__file__).parents[1]
FILES = sorted(
    str(path.relative_to(ROOT))
    for path in (ROOT / "recipes").rglob("*.yaml")
    if "nano" not in path.parts
)
COMPARISONS = [file for file in FILES if is_comparison(ROOT / file)]
RECIPES = [file for file in FILES if file not in COMPARISONS]
SD14 = [recipe for recipe in RECIPES if "sd14" in Path(recipe).parts]
SDXL = [recipe for recipe in RECIPES if "sdxl" in Path(recipe).parts]
NANO_BASED = [recipe for recipe in RECIPES if recipe not in (*SD14, *SDXL)]
TWO_STEPS = [
    "--trainer.max_steps=2",
    "--trainer.limit_val_batches=1",
    "--trainer.accelerator=cpu",
    "--trainer.devices=1",
]


@pytest.fixture(autouse=True)
def _root_folder(monkeypatch):
    monkeypatch.chdir(ROOT)  # the folders in recipes are relative to it


def run_two_steps(recipe: str, folder: Path, *overrides: str) -> None:
    root = f"--trainer.default_root_dir={folder}"
    if "class_prompt:" in Path(recipe).read_text(encoding="utf-8"):
        overrides += ("--model.class_inference_steps=2",)
    config = evaluated_cheaply(recipe, folder)
    assert main(["fit", "--config", config, root, "--run=two_steps", *TWO_STEPS, *overrides]) == 0
    for name in ("config.yaml", "contact_sheet.html"):
        assert (folder / Path(recipe).stem / "two_steps" / name).is_file()


def evaluated_cheaply(recipe: str, folder: Path) -> str:
    """Copy a recipe: one step, one prompt a callback, two class pictures, nano's CLIP.

    Of another family the style's recipe draws for all, as nano's draws for each technique.
    """
    content = read_yaml(recipe)
    if recipe in (*SD14, *SDXL) and not recipe.endswith("/style_lora.yaml"):
        callbacks = content["trainer"]["callbacks"]
        content["trainer"]["callbacks"] = [each for each in callbacks if not draws(each)]
    cheap = {"clip": "nano", "style_pictures": 2}
    for callback in content["trainer"]["callbacks"]:
        arguments = callback.get("init_args", {})
        arguments |= {key: cheap[key] for key in cheap.keys() & arguments.keys()}
        for key in {"prompts", "class_prompts"} & arguments.keys():
            arguments[key] = arguments[key][:1]
            arguments["num_inference_steps"] = 1
    copy = folder / Path(recipe).name
    text = re.sub(r"\bclass_count: \S+", "class_count: 2", yaml.safe_dump(content))
    copy.write_text(text, encoding="utf-8")
    return str(copy)


def draws(callback: dict[str, Any]) -> bool:
    return "prompts" in callback.get("init_args", {})


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_names_only_what_exists(recipe):
    assert recipe_problems(["--config", recipe], build=False) == []


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_says_how_to_launch_it(recipe):
    header = (ROOT / recipe).read_text(encoding="utf-8")
    assert header.startswith("#")
    assert f"lightning run {recipe}" in header


@pytest.mark.parametrize("comparison", some_fast(COMPARISONS, COMPARISONS[:1]))
def test_comparison_names_only_what_exists_and_how_to_launch_it(comparison):
    assert plan_runs(read_comparison(comparison), build=False)[1] == []
    header = Path(comparison).read_text(encoding="utf-8")
    assert f"sdtune compare {comparison}" in header.partition("\ntitle:")[0]


@pytest.mark.slow
@pytest.mark.parametrize("recipe", NANO_BASED)
def test_recipe_runs_two_steps_and_says_how_to_use_them(recipe, tmp_path, capsys, monkeypatch):
    run_two_steps(recipe, tmp_path, *few_where_there_are_many(recipe, tmp_path))
    printed = capsys.readouterr().out.splitlines()
    monkeypatch.setattr("PIL.Image.Image.save", lambda image, name: saved.append((image, name)))
    saved = []
    draw = StableDiffusionPipeline.__call__
    monkeypatch.setattr(
        StableDiffusionPipeline, "__call__", lambda *words: draw(*words, num_inference_steps=2)
    )
    exec("\n".join(printed[-2:]), {"sdtune": sdtune})
    [(picture, name)] = saved
    assert name == "picture.png"
    assert np.asarray(picture).std() > 0


@pytest.mark.slow
@pytest.mark.parametrize("recipe", SD14)
def test_sd14_recipe_runs_two_steps_on_a_small_model(recipe, tmp_path, micro_sd):
    run_two_steps_on(micro_sd, recipe, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", SDXL)
def test_sdxl_recipe_runs_two_steps_on_a_small_model(recipe, tmp_path, shallow_xl):
    run_two_steps_on(shallow_xl, recipe, tmp_path)


def few_where_there_are_many(recipe, folder):
    """README's first command, which .ci/run runs, trains with all 122 pictures of the style."""
    if read_yaml(recipe)["data"]["init_args"].get("folder") == "datasets/style_openmoji":
        return [f"--data.folder={few_of_the_style(folder / 'few')}"]
    return []


def run_two_steps_on(base, recipe, folder):
    # bf16 is slow on CPUs, so one technique that trains both networks has it
    precision = "bf16-mixed" if "pivotal_tuning" in recipe else "32-true"
    small = [f"--model.base={base}", "--data.resolution=64", f"--trainer.precision={precision}"]
    small += few_where_there_are_many(recipe, folder)
    with pytest.MonkeyPatch.context() as patch:
        # nano's recipes verify what they write, and tests/adapters/test_matrix.py each family's
        patch.setattr(AdapterSet, "verify", lambda *_: 0.0)
        run_two_steps(recipe, folder, *small, *letters_for(recipe))


def letters_for(recipe):
    """Start new words from letters, for the small models know no words."""
    technique = read_yaml(recipe)["model"]["class_path"]
    if "MultiConcept" in technique:
        return ["--model.initializer_tokens=[c, d]"]
    learns_word = "TextualInversion" in technique or "PivotalTuning" in technique
    return ["--model.initializer_token=c"] if learns_word else []
