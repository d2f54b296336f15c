"""`sdtune import-config` from the call to a recipe that is checked and trains."""

from __future__ import annotations

import shutil
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest

from sdtune.cli import main
from sdtune.commands.recipe_cli import recipe_problems
from tests.documented import ROOT
from tests.importing.kohya_files import LORA, config

MUCH = {
    "network_dim": 2,
    "network_alpha": 1,
    "network_args": ["conv_dim=2", "conv_alpha=1"],
    "unet_lr": 1e-3,
    "text_encoder_lr": 5e-4,
    "optimizer_type": "AdamW",
    "lr_scheduler": "cosine",
    "lr_warmup_steps": 1,
    "train_batch_size": 2,
    "max_train_steps": 2,
    "mixed_precision": "no",
    "seed": 3,
    "enable_bucket": True,
    "min_bucket_reso": 32,
    "noise_offset": 0.05,
    "min_snr_gamma": 5,
    "clip_skip": 1,
    "shuffle_caption": True,
    "caption_dropout_rate": 0.1,
    "cache_latents": True,
    "max_token_length": 150,
    "sample_prompts": "prompts.txt",
    "sample_every_n_steps": 2,
    "save_every_n_steps": 2,
    "save_precision": "fp16",
    "output_dir": "/somewhere",
}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """kohya's folders: pictures with captions, and those of the class without."""
    found = sorted((ROOT / "datasets" / "style_openmoji").glob("*.png"))
    for folder, some in (("train/2_sks cat", found[:3]), ("reg/1_cat", found[3:6])):
        (tmp_path / folder).mkdir(parents=True)
        for each in some:
            shutil.copy(each, tmp_path / folder)
    (tmp_path / "prompts.txt").write_text("a cat --w 64 --h 64 --s 1\n")
    return tmp_path


def paths(folder: Path, *names: str) -> dict[str, str]:
    return {name: str(folder / name.split("_")[0]) for name in names}


@pytest.mark.slow
def test_the_recipe_is_accepted_and_trains(pictures, micro_sd, monkeypatch, capsys):
    monkeypatch.setenv("SDTUNE_CACHE", str(pictures / "cache"))
    given = LORA | MUCH | paths(pictures, "train_data_dir", "reg_data_dir")
    given |= {"pretrained_model_name_or_path": str(micro_sd)}
    recipe = pictures / "made" / "recipe.yaml"
    assert main(["import-config", str(config(pictures, **given)), "--to", str(recipe)]) == 0
    printed = capsys.readouterr().out
    assert "network_dim = 2: model.rank 2" in printed
    assert f"next:   sdtune check {recipe}" in printed
    assert main(["check", str(recipe)]) == 0
    run = [f"--trainer.default_root_dir={pictures / 'runs'}", "--trainer.accelerator=cpu"]
    assert main(["fit", "--config", str(recipe), *run, "--run=one"]) == 0
    assert list((pictures / "runs").rglob("pytorch_lora_weights.safetensors"))


@pytest.mark.parametrize(
    "given",
    [
        LORA | MUCH,
        LORA | {"network_module": "lycoris.kohya", "network_args": ["algo=lokr"]},
        LORA | {"optimizer_type": "AdaFactor", "lr_scheduler": "adafactor", "lr_warmup_steps": 10},
        LORA | {"reg_data_dir": "reg", "max_train_epochs": 1},
        {key: value for key, value in LORA.items() if key != "network_module"},
    ],
    ids=["lora", "lokr", "adafactor", "dreambooth", "whole"],
)
def test_every_kind_of_recipe_names_only_what_exists(given, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    (tmp_path / "prompts.txt").write_text("a cat\n")
    assert main(["import-config", str(config(tmp_path, **given)), "--to", str(recipe)]) == 0
    assert recipe_problems(["--config", str(recipe)], build=False) == []


def test_without_to_the_recipe_is_printed(tmp_path, capsys):
    assert main(["import-config", str(config(tmp_path, **LORA))]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("# From train.toml of kohya's sd-scripts")
    assert "\nmodel:\n  class_path: sdtune.LoRAStyleModule\n" in printed


def test_a_recipe_that_the_output_cannot_hold_is_not_printed(tmp_path, capsys, monkeypatch):
    written = config(tmp_path, **{**LORA, "output_name": "\N{CYRILLIC SMALL LETTER ZHE}"})
    output = BytesIO()
    monkeypatch.setattr(sys, "stdout", TextIOWrapper(output, encoding="cp1252"))
    assert main(["import-config", str(written)]) == 2
    assert "Expected `--to`, for the output is cp1252" in capsys.readouterr().err
    assert output.getvalue() == b""


def test_nothing_is_overwritten(tmp_path, capsys):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("mine")
    assert main(["import-config", str(config(tmp_path, **LORA)), "--to", str(recipe)]) == 2
    assert "not to exist" in capsys.readouterr().err
    assert recipe.read_text() == "mine"


def test_a_link_to_nothing_is_not_written_through(tmp_path, capsys):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for to, said in (
        ("link", "not to exist, but it is a link to nothing"),
        ("link/made/recipe.yaml", f"but `{tmp_path / 'link'}` is a link to nothing"),
        ("train.toml/recipe.yaml", f"but `{tmp_path / 'train.toml'}` is no folder"),
    ):
        path = config(tmp_path, **LORA)
        assert main(["import-config", str(path), "--to", str(tmp_path / to)]) == 2
        assert said in capsys.readouterr().err
    assert sorted(each.name for each in tmp_path.iterdir()) == ["link", "train.toml"]


def test_faults_write_nothing(tmp_path, capsys):
    recipe = tmp_path / "recipe.yaml"
    path = config(tmp_path, **LORA, network_dim=0, clip_skip=0)
    assert main(["import-config", str(path), "--to", str(recipe)]) == 2
    assert "2 problems" in capsys.readouterr().err
    assert not recipe.exists()
    assert main(["import-config", str(tmp_path / "nowhere.toml")]) == 2
