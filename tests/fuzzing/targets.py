"""The parsers, and a whole file for each."""

from __future__ import annotations

import copy
import io
import json
import tarfile
from collections.abc import Callable
from contextlib import chdir
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from PIL import Image, PngImagePlugin
from safetensors.torch import save

from sdtune.adapters import registry
from sdtune.adapters.inspection import inspect_adapter
from sdtune.commands.comparison_file import read_comparison
from sdtune.commands.recipe_cli import recipe_problems
from sdtune.commands.reproduction import again, recorded
from sdtune.data.captions import read_captions
from sdtune.data.decoding import read_picture
from sdtune.data.sources.source import Asked
from sdtune.data.sources.webdataset import WebDatasetSource
from sdtune.data.survey_file import read_survey
from sdtune.drawing.picture_settings import read_settings
from sdtune.files.text_file import parse_yaml_text
from sdtune.importing.kohya_recipe import import_kohya
from sdtune.importing.kohya_settings import read_kohya
from sdtune.models import load
from sdtune.models.single_file import find_single_file
from sdtune.report.facts import facts, nearest_sentence, notices, summary
from sdtune.report.figures import checkpoint_table, metric_rows
from sdtune.report.gallery import hard_and_easy, nearest_pairs, sliders, strips, tuned_name
from sdtune.report.run import read_run
from sdtune.run_folder.checkpoint_file import content_problem
from sdtune.run_folder.picture_losses import read_picture_losses
from sdtune.run_folder.record import Evaluation
from sdtune.run_folder.sample_rows import read_samples
from sdtune.run_folder.training_record import RECORD_KEY, TrainingRecord, differences
from tests.fuzzing.mutations import as_json
from tests.report.run_folder import make_evaluation
from tests.tiny_models import make_micro_sd

__all__ = ["CONTENTS", "FILES", "Target"]


@dataclass(frozen=True)
class Target:
    """A parser of files that strangers send.

    Attributes:
        file_name: What its file is called, below the folder that it is parsed in.
        whole: One that is as it should be: bytes, or what JSON can hold.
        parse: Reads it, and does with it what is done next. Gives all sentences about it.
        write: Makes a file of what JSON can hold.
    """

    file_name: str
    whole: Any
    parse: Callable[[Path], object]
    write: Callable[[Any], bytes] = as_json


_TRAINING = asdict(
    TrainingRecord(
        version=1,
        recipe={
            "model": {"class_path": "sdtune.LoRAStyleModule", "init_args": {"rank": 2}},
            "data": {"class_path": "sdtune.StyleDataModule", "init_args": {"batch_size": 2}},
            "trainer": {"max_steps": 3, "averages": []},
        },
        places=["data.folder"],
        packages={"torch": "2.8.0"},
        machine={"device": "cpu"},
        threads=1,
        processes=1,
        base={"unet": "aa"},
    )
)


def _header(content: Any) -> bytes:
    """Write a LoRA whose header says whatever."""
    texts = content if isinstance(content, dict) else {"header": content}
    texts = {str(k): v if isinstance(v, str) else json.dumps(v) for k, v in texts.items()}
    clean = {
        key.encode(errors="replace").decode(): text.encode(errors="replace").decode()
        for key, text in texts.items()
    }
    return save(_KOHYA, clean)


def _inspected(path: Path) -> object:
    """Tell all of an adapter, and load it."""
    told = inspect_adapter(path)
    _adapter(path)
    return told


def _trained(content: Any) -> bytes:
    """Write a LoRA whose record of its training says whatever."""
    text = json.dumps(content).encode(errors="replace").decode()
    return save(_KOHYA, {RECORD_KEY: text, "sdtune.steps": "3"})


def _reproduced(path: Path) -> object:
    """Make a recipe of a record, up to where it is parsed."""
    found = recorded(path)
    told = differences(found.record, found.record)
    again(found, ["data.folder"], follow_paths=True)
    return told


def _base(path: Path) -> str:
    """Look into what is called a base; a whole one would be gigabytes."""
    try:
        said = str(find_single_file(path))
    except ValueError as error:
        said = str(error)
    assert str(path) in said
    return said


def _report(path: Path) -> object:
    """Read a record, and all that a page says of it."""
    Evaluation.load(path)
    run = read_run(path.parent)
    evaluation, shown = run.evaluation, run.shown
    said: list[object] = [summary(run), tuned_name(run), *notices(run), *facts(run)]
    if evaluation is not None and shown is not None:
        said += [*metric_rows(evaluation, run.untuned, shown), nearest_sentence(shown)]
        said.append(checkpoint_table(evaluation))
    return [*said, *sliders(run), *strips(run), *nearest_pairs(run), *hard_and_easy(run)]


def _captions(path: Path) -> object:
    pictures = [path.with_name("a.png"), path.with_name("b.png")]
    captions, problems = read_captions(path.parent, pictures)
    return [*captions.values(), *map(str, problems)]


def _recipe(path: Path) -> object:
    return recipe_problems(["--config", str(path)], build=False)


def _kohya(path: Path) -> object:
    """Make a recipe of kohya's settings, and read its file."""
    (path.parent / "class").mkdir(exist_ok=True)
    with chdir(path.parent):  # where it looks for captions
        recipe = import_kohya(read_kohya(path))
    text = recipe.text()
    assert parse_yaml_text(text) == recipe.content
    return [*recipe.lists(), text]


def _checkpoint(path: Path) -> object:
    problem = content_problem(path)
    assert problem is None or problem.startswith(f"Expected {path} to be")
    return problem


def _adapter(path: Path) -> None:
    registry.recognise(path).load(copy.deepcopy(_model(path.parent)), path)


@cache
def _model(folder: Path) -> Any:
    return load(str(make_micro_sd(folder / "micro")))


def _samples(path: Path) -> object:
    return read_samples(path.parent.parent)


def _shard(path: Path) -> object:
    listing = WebDatasetSource().list(str(path.parent), Asked(cache_dir=path.parent / "cache"))
    return [*map(str, listing.problems), *(each.captions for each in listing.pictures)]


def _png(**texts: str) -> bytes:
    header, file = PngImagePlugin.PngInfo(), io.BytesIO()
    for keyword, text in texts.items():
        header.add_text(keyword, text)
    Image.new("RGB", (16, 8), "red").save(file, "PNG", pnginfo=header)
    return file.getvalue()


def _tar() -> bytes:
    file = io.BytesIO()
    members = {"a.png": _png(), "a.txt": b"a red disc", "b.png": _png(), "b.json": b'{"text": "b"}'}
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def _saved(content: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


_STATE = {
    "epoch": 0,
    "global_step": 2,
    "loops": {"fit_loop": {"state_dict": {}}},
    "lr_schedulers": [{"last_epoch": 2}],
    "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(8)}}, "param_groups": []}],
    "pytorch-lightning_version": "2.6.4",
    "state_dict": {"weight": torch.ones(64)},
}
_RECORD = json.loads(json.dumps(asdict(make_evaluation(Path("pictures")))))
_SURVEY = {
    "version": 1,
    "pictures": 2,
    "kept": 0.95,
    "smallest_kept": 0.9,
    "buckets": [{"size": [640, 384], "pictures": 2, "samples": 2, "kept": 0.95}],
    "counts": {"enlarged": 1},
}
_LOSSES = {"a.png": {"loss": 0.1, "relative_loss": 1.2, "count": 3}}
_SAMPLES = {"prompts": ["a cat"], "seeds": [0, 1], "guidance_scale": 7.5}
_RECIPE = {
    "seed": 1,
    "trainer": {
        "max_steps": 2,
        "precision": "32-true",
        "callbacks": [
            {"class_path": "sdtune.SampleGrid", "init_args": {"prompts": ["a cat"]}},
            {"class_path": "sdtune.ResumeCheckpoint"},
        ],
    },
    "model": {"class_path": "sdtune.LoRAStyleModule", "init_args": {"rank": 4, "base": "nano"}},
    "data": {"class_path": "sdtune.StyleDataModule", "init_args": {"folder": "pictures"}},
}
_COMPARISON = {
    "title": "Toys",
    "evaluation": {"prompts": ["a cat"]},
    "overrides": {"model.rank": 8},
    "runs": {
        "adamw": {"recipe": "toy.yaml", "overrides": {"model.learning_rate": 1e-3}},
        "sgd": {"recipe": "toy.yaml", "label": "SGD"},
    },
    "tables": [{"title": "Table 1", "metrics": ["train_loss"], "paper": {"adamw": 1}}],
    "figures": [{"title": "Figure 7", "kind": "loss_curves", "runs": ["sgd"]}],
}
_MODULE = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
_DIFFUSERS = {
    f"{_MODULE}.lora_A.weight": torch.ones(2, 8),
    f"{_MODULE}.lora_B.weight": torch.ones(8, 2),
}
_KOHYA_MODULE = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
_KOHYA = {
    f"{_KOHYA_MODULE}.lora_down.weight": torch.ones(2, 8),
    f"{_KOHYA_MODULE}.lora_up.weight": torch.ones(8, 2),
    f"{_KOHYA_MODULE}.alpha": torch.tensor(2.0),
}
_PICTURE = {
    "version": 1,
    "prompt": "a cat",
    "seed": 3,
    "width": 64,
    "guidance_scale": 7.5,
    "sampler": "euler_a",
    "base": {"source": "nano", "unet_sha256": "ab"},
    "adapters": [{"name": "style", "sha256": "cd", "strength": 0.5, "path": "runs/a"}],
    "batch": {"size": 2, "index": 1},
}
_FACTS = {
    "ss_network_dim": "2",
    "ss_network_alpha": "2.0",
    "ss_network_module": "networks.lora",
    "ss_network_args": '{"conv_dim": "4"}',
    "ss_base_model_version": "sd_v1",
    "ss_tag_frequency": '{"10_cat": {"a cat": 3}}',
    "modelspec.architecture": "stable-diffusion-v1/lora",
    "lora_adapter_metadata": '{"unet.r": 2}',
    "sdtune.steps": "200",
}

_KOHYA_CONFIG = b"""
pretrained_model_name_or_path = "nano"
[network]
network_module = "lycoris.kohya"
network_args = ["algo=loha", "conv_dim=4"]
optimizer_args = ["weight_decay=0.1"]
unet_lr = 1e-4
lr_scheduler = "cosine"
lr_warmup_steps = 0.1
xformers = true
[general]
enable_bucket = true
[[datasets]]
resolution = [64, 64]
batch_size = 2
[[datasets.subsets]]
image_dir = "pictures"
num_repeats = 3
[[datasets.subsets]]
image_dir = "class"
is_reg = true
class_tokens = "cat"
"""

FILES = {
    "record": Target("evaluation.json", json.dumps(_RECORD).encode(), _report),
    "caption": Target("a.txt", "a café, red".encode(), _captions),
    "table of captions": Target("metadata.csv", b"file_name,text\na.png,a\nb.png,b\n", _captions),
    "lines of captions": Target(
        "metadata.jsonl",
        b'{"file_name": "a.png", "text": "a"}\n{"file_name": "b.png", "text": "b"}\n',
        _captions,
    ),
    "checkpoint": Target("last.ckpt", _saved(_STATE), _checkpoint),
    "recipe": Target("recipe.yaml", json.dumps(_RECIPE, indent=1).encode(), _recipe),
    "comparison": Target("toys.yaml", json.dumps(_COMPARISON, indent=1).encode(), read_comparison),
    "kohya's settings": Target("train.toml", _KOHYA_CONFIG, _kohya),
    "diffusers' LoRA": Target("lora.safetensors", save(_DIFFUSERS), _adapter),
    "kohya's LoRA": Target("kohya.safetensors", save(_KOHYA, {"ss_network_dim": "2"}), _adapter),
    "adapter's facts": Target("facts.safetensors", save(_KOHYA, _FACTS), _inspected),
    "pickled word": Target("word.pt", _saved({"<erica>": torch.ones(1, 16)}), _adapter),
    "base": Target("base.safetensors", save(_KOHYA), _base),
    "pickled base": Target("base.ckpt", _saved({"state_dict": _KOHYA}), _base),
    "word": Target("word.safetensors", save({"<erica>": torch.ones(1, 16)}), _adapter),
    "picture": Target("a.png", _png(), read_picture),
    "shard": Target("shard.tar", _tar(), _shard),
    "drawn picture": Target(
        "drawn.png", _png(**{"sdtune.picture": json.dumps(_PICTURE)}), read_settings
    ),
    "samples": Target("rows/base.png", _png(sdtune=json.dumps(_SAMPLES)), _samples),
}
"""Files whose bytes are changed."""

CONTENTS = {
    "record": Target("evaluation.json", _RECORD, _report),
    "adapter's facts": Target("facts.safetensors", _FACTS, _inspected, _header),
    "picture losses": Target(
        "picture_losses.json", {"version": 1, "pictures": _LOSSES}, read_picture_losses
    ),
    "survey": Target("data.json", _SURVEY, lambda path: read_survey(path.parent)),
    "caption": Target("metadata.jsonl", {"file_name": "a.png", "text": "a cat"}, _captions),
    "recipe": Target("recipe.yaml", _RECIPE, _recipe),
    "comparison": Target("toys.yaml", _COMPARISON, read_comparison),
    "training": Target("trained.safetensors", _TRAINING, _reproduced, _trained),
}
"""Files of which it is changed what they say."""
