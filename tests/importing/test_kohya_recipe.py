"""Every key of kohya's is in one list, and its value is where the recipe says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sdtune._checks import ArgumentsError
from sdtune.importing.kohya_recipe import ImportedRecipe, import_kohya
from sdtune.importing.kohya_settings import read_kohya
from sdtune.importing.kohya_table import KEYS, documentation
from tests.documented import ROOT
from tests.importing.kohya_files import LORA, config

REG = {"reg_data_dir": "class"}
BUCKETS = {"enable_bucket": True}
LYCORIS = {"network_module": "lycoris.kohya"}

TAKEN: list[tuple[dict[str, Any], dict[str, Any]]] = [
    # what is set, and what the recipe then says
    ({"pretrained_model_name_or_path": "a/b"}, {"model.base": "a/b"}),
    ({}, {"model.target_modules": "attention+feed_forward", "model.adapter_type": "lora"}),
    ({"network_args": ["conv_dim=4", "conv_alpha=1"]}, {"model.target_modules": "all"}),
    ({**LYCORIS, "network_args": ["algo=loha"]}, {"model.adapter_type": "loha"}),
    ({**LYCORIS, "network_args": ["algo=lokr", "factor=-1"]}, {"model.adapter_type": "lokr"}),
    ({"network_args": ["conv_dim=0"]}, {"model.target_modules": "attention+feed_forward"}),
    (LYCORIS, {"model.target_modules": "all"}),
    (
        {**LYCORIS, "network_args": ["algo=lora", "dora_wd=True", "preset=attn-mlp"]},
        {"model.use_dora": True, "model.target_modules": "attention+feed_forward"},
    ),
    ({}, {"model.rank": 4, "model.alpha": 1.0, "model.learning_rate": 2e-6}),
    ({"network_dim": 32, "network_alpha": 0}, {"model.rank": 32, "model.alpha": 32.0}),
    ({"network_dropout": 0.1}, {"model.dropout": 0.1}),
    ({"network_weights": "old.safetensors"}, {"model.adapter": "old.safetensors"}),
    (
        {"learning_rate": 1e-4},
        {"model.learning_rate": 1e-4, "model.text_encoder_learning_rate": 1e-4},
    ),
    (
        {"learning_rate": 1e-4, "unet_lr": 2e-4, "text_encoder_lr": 0},
        {"model.learning_rate": 2e-4, "model.text_encoder_learning_rate": None},
    ),
    ({"network_train_unet_only": True}, {"model.text_encoder_learning_rate": None}),
    ({"text_encoder_lr": [1e-5, 1e-5]}, {"model.text_encoder_learning_rate": 1e-5}),
    ({}, {"model.optimizer": "adamw", "model.weight_decay": 0.01}),
    ({"optimizer_type": "AdamW8bit"}, {"model.optimizer": "adamw8bit"}),
    ({"use_8bit_adam": True}, {"model.optimizer": "adamw8bit"}),
    ({"optimizer_type": "Lion"}, {"model.optimizer": "lion", "model.weight_decay": 0.0}),
    ({"optimizer_type": "AdaFactor"}, {"model.optimizer": "adafactor_relative_step"}),
    (
        {"optimizer_type": "AdaFactor", "optimizer_args": ["relative_step=False"]},
        {"model.optimizer": "adafactor", "model.weight_decay": 0.0},
    ),
    (
        {"optimizer_type": "Prodigy", "optimizer_args": ["weight_decay=0.1", "decouple=True"]},
        {"model.optimizer": "prodigy", "model.weight_decay": 0.1},
    ),
    (
        {"lr_scheduler": "cosine", "lr_warmup_steps": 0.05, "max_train_steps": 2000},
        {"model.lr_schedule": "cosine", "model.warmup_steps": 100, "trainer.max_steps": 2000},
    ),
    ({"lr_scheduler": "cosine_with_restarts"}, {"model.lr_schedule": "cosine"}),
    ({"lr_scheduler": "polynomial"}, {"model.lr_schedule": "linear"}),
    ({"train_batch_size": 4}, {"data.batch_size": 4}),
    ({"gradient_accumulation_steps": 2}, {"trainer.accumulate_grad_batches": 2}),
    ({}, {"trainer.max_steps": 1600, "trainer.gradient_clip_val": 1.0}),
    ({"max_train_epochs": 3}, {"trainer.max_epochs": 3}),
    ({"max_grad_norm": 0}, {"trainer.gradient_clip_val": None}),
    ({"mixed_precision": "fp16"}, {"trainer.precision": "16-mixed"}),
    ({"mixed_precision": "bf16"}, {"trainer.precision": "bf16-mixed"}),
    ({"seed": 7}, {"seed": 7}),
    ({"resolution": "512,512"}, {"data.resolution": 512}),
    ({"resolution": [64, 64]}, {"data.resolution": 64}),
    ({}, {"data.buckets": None}),
    (
        {**BUCKETS, "min_bucket_reso": 32, "max_bucket_reso": 128, "bucket_reso_steps": 16},
        {"data.buckets": {"enlarge": True, "smallest": 32, "largest": 128, "step": 16}},
    ),
    (
        {**BUCKETS, "resolution": 1024, "max_bucket_reso": 2048},
        {"data.buckets": {"enlarge": True, "smallest": 256, "largest": 2048, "step": 64}},
    ),
    ({**BUCKETS, "bucket_no_upscale": True}, {"data.buckets": {"enlarge": False}}),
    ({"noise_offset": 0.05}, {"model.noise_offset": 0.05}),
    ({"min_snr_gamma": 5}, {"model.min_snr_gamma": 5.0}),
    ({"clip_skip": 2}, {"model.clip_skip": 2}),
    ({"max_token_length": 225}, {"model.max_prompt_chunks": 3}),
    (
        {"shuffle_caption": True, "keep_tokens": 1},
        {"data.shuffle_tags": True, "data.keep_tokens": 1},
    ),
    ({"caption_dropout_rate": 0.1}, {"data.caption_dropout": 0.1}),
    ({"caption_tag_dropout_rate": 0.2}, {"data.tag_dropout": 0.2}),
    ({"caption_prefix": "ink, "}, {"data.caption_prefix": "ink, "}),
    ({"flip_aug": True}, {"data.flip": True}),
    ({"random_crop": True}, {"data.crop": "random"}),
    ({"cache_latents": True}, {"data.cache_latents": True}),
    ({"masked_loss": True}, {"data.unmasked_weight": 0.0}),
    ({"gradient_checkpointing": True}, {"model.gradient_checkpointing": True}),
    ({"torch_compile": True}, {"model.compile": True}),
    ({"fp8_base": True, "fp8_base_unet": True}, {"model.quantization": "int8"}),
    ({}, {"data.folder": "pictures", "data.source": "kohya"}),
    (
        {**REG, "prior_loss_weight": 0.5},
        {
            "data.instance_dir": "pictures",
            "data.class_dir": "class",
            "model.prior_loss_weight": 0.5,
        },
    ),
    ({"save_every_n_steps": 100}, {"AdapterCheckpoint.every_n_steps": 100}),
    (
        {"save_every_n_steps": 100, "save_last_n_steps": 300, "save_precision": "fp16"},
        {"AdapterCheckpoint.keep": 4, "AdapterCheckpoint.dtype": "float16"},
    ),
]

WITHOUT = [  # key, a value that asks for something, and what goes with it
    ("color_aug", True, {}),
    ("ip_noise_gamma", 0.05, {}),
    ("zero_terminal_snr", True, {}),
    ("multires_noise_iterations", 6, {}),
    ("debiased_estimation_loss", True, {}),
    ("loss_type", "huber", {}),
    ("caption_extension", ".cap", {}),
    ("network_args.conv_dim", 8, {}),
    ("network_args.rank_dropout", 0.1, {}),
    ("network_args.dora_wd", True, {**LYCORIS, "network_args": ["algo=loha", "dora_wd=True"]}),
    ("optimizer_args.betas", "0.9,0.99", {}),
    ("lr_scheduler_num_cycles", 3, {"lr_scheduler": "cosine_with_restarts"}),
    ("save_every_n_epochs", 2, {}),
    ("sample_prompts", "nowhere.txt", {}),
    ("resume", "state", {}),
    ("vae", "vae.pt", {}),
    ("weighted_captions", True, {}),
    ("in_json", "meta.json", {}),
    ("scale_weight_norms", 1.0, {}),
    ("full_bf16", True, {}),
    ("huber_c", 0.1, {"loss_type": "huber"}),
    ("multires_noise_discount", 0.8, {"multires_noise_iterations": 6}),
    ("token_warmup_min", 3, {"token_warmup_step": 100}),
    ("keep_tokens_separator", "|||", {"shuffle_caption": True}),
    ("lr_decay_steps", 10, {"lr_scheduler": "warmup_stable_decay"}),
    ("network_args.factor", 8, {**LYCORIS, "network_args": ["algo=lokr", "factor=8"]}),
]

IDLE = [
    ("xformers", True, {}),
    ("output_dir", "/home/me/out", {}),
    ("logging_dir", "/home/me/log", {}),
    ("v_parameterization", True, {}),
    ("color_aug", False, {}),
    ("ip_noise_gamma", 0, {}),
    ("lr_warmup_steps", 100, {"lr_scheduler": "constant"}),
    ("max_train_steps", 100, {"max_train_epochs": 2}),
    ("learning_rate", 1e-4, {"unet_lr": 1e-4, "text_encoder_lr": 1e-5}),
    ("prior_loss_weight", 1.0, {}),
    ("min_bucket_reso", 256, {}),
    ("min_bucket_reso", 256, {**BUCKETS, "bucket_no_upscale": True}),
    # what only counts beside another key, or another value of it
    ("huber_c", 0.1, {}),
    ("huber_schedule", "snr", {"loss_type": "l2"}),
    ("huber_scale", 2.0, {"loss_type": "l1"}),
    ("adaptive_noise_scale", 0.1, {}),
    ("multires_noise_discount", 0.8, {"multires_noise_iterations": 0}),
    ("token_warmup_min", 3, {}),
    ("keep_tokens_separator", "|||", {}),
    ("lr_decay_steps", 10, {"lr_scheduler": "cosine"}),
    ("sample_sampler", "euler", {}),
    ("network_args.factor", 8, {}),
    ("network_args.preset", "full", {}),
    ("network_args.dora_wd", True, {}),
    ("network_args.conv_alpha", 8, {}),
    ("network_args.block_lr_zero_threshold", 0.1, {}),
    ("block_lr", "1,1", {}),
    # what is read in subsets alone
    ("image_dir", "elsewhere", {}),
    ("num_repeats", 10, {}),
    ("class_tokens", "sks cat", {}),
    ("is_reg", True, {}),
]

WRONG = [
    ({"network_dim": -4}, "`network_dim` to be an integer of 1 or more, but got -4"),
    ({"network_dim": "a"}, "`network_dim`"),
    ({"network_dim": 2.5}, "`network_dim`"),
    ({"network_dim": True}, "`network_dim`"),
    ({"network_alpha": -1}, "`network_alpha`"),
    ({"network_module": "networks.oft"}, "`network_module` to be one of `networks.lora`"),
    ({"network_module": ["networks.lora"]}, "`network_module` to be one of `networks.lora`"),
    ({**LYCORIS, "network_args": ["algo=boft"]}, "`network_args.algo`"),
    ({"network_args": ["conv_dim"]}, '`network_args` to be a list such as ["name=value"]'),
    ({"network_train_text_encoder_only": True}, "`network_train_text_encoder_only`"),
    ({"unet_lr": 0}, "`unet_lr` to be a positive number"),
    ({"learning_rate": -1e-4}, "`learning_rate`"),
    ({"text_encoder_lr": [1e-4, 1e-5]}, "`text_encoder_lr` to be one rate"),
    ({"optimizer_type": "DAdaptAdam"}, "`optimizer_type` to be one of `adamw`"),
    ({"lr_scheduler": "mine"}, "`lr_scheduler`"),
    ({"lr_scheduler": "cosine", "lr_warmup_steps": -1}, "`lr_warmup_steps`"),
    ({"mixed_precision": "fp8"}, "`mixed_precision` to be one of `no`, `fp16`, `bf16`"),
    ({"seed": -1}, "`seed`"),
    ({"resolution": "512,768"}, "`resolution` to be one side"),
    ({"resolution": "big"}, "`resolution`"),
    ({**BUCKETS, "bucket_reso_steps": 12}, "`bucket_reso_steps` to be a multiple of 8"),
    ({"caption_dropout_rate": 1.5}, "`caption_dropout_rate` to be a number in [0, 1]"),
    ({"network_dropout": 1.0}, "`network_dropout` to be a number in [0, 1)"),
    ({"max_token_length": 100}, "`max_token_length` to be one of `75`, `150`, `225`"),
    ({"clip_skip": 0}, "`clip_skip`"),
    ({"min_snr_gamma": -5}, "`min_snr_gamma`"),
    ({"flip_aug": "yes"}, "`flip_aug` to be true or false"),
    ({"token_string": "cat4"}, "`token_string`"),
    ({"resolution": ""}, "`resolution` to give the pictures' side"),
    ({"train_data_dir": ""}, "`train_data_dir` or a data set's file"),
]


def imported(folder: Path, **values: Any) -> ImportedRecipe:
    expanded = {key: value for key, value in (LORA | values).items() if "." not in key}
    for key, value in values.items():
        if "." in key and key.partition(".")[0] not in values:
            expanded[key.partition(".")[0]] = [f"{key.partition('.')[2]}={value}"]
    return import_kohya(read_kohya(config(folder, **expanded)))


def imported_or_refused(folder: Path, **values: Any) -> tuple[ImportedRecipe | None, list[str]]:
    try:
        return imported(folder, **values), []
    except ArgumentsError as error:
        return None, error.problems


def said(recipe: ImportedRecipe) -> dict[str, Any]:
    """Flatten a recipe into `model.rank` and the like."""
    content = dict(recipe.content)
    trainer = dict(content.pop("trainer"))
    flat: dict[str, Any] = {}
    for each in trainer.pop("callbacks"):
        name = each["class_path"].removeprefix("sdtune.")
        flat |= {f"{name}.{key}": value for key, value in each.get("init_args", {}).items()}
    for part in ("model", "data"):
        arguments = content.pop(part)["init_args"]
        flat |= {f"{part}.{key}": value for key, value in arguments.items()}
    return flat | {f"trainer.{key}": value for key, value in trainer.items()} | content


def fate(recipe: ImportedRecipe, key: str) -> list[str]:
    return [each.outcome.fate for each in recipe.told if each.key == key]


@pytest.mark.parametrize(("given", "expected"), TAKEN, ids=str)
def test_a_value_is_taken_over(given, expected, tmp_path):
    found = said(imported(tmp_path, **given))
    assert {key: found.get(key, "not there") for key in expected} == expected


@pytest.mark.parametrize(("key", "value", "beside"), WITHOUT)
def test_a_key_without_equal_says_what_that_means(key, value, beside, tmp_path):
    recipe = imported(tmp_path, **({key: value} | beside))
    assert fate(recipe, key) == ["no equal"]
    assert next(each for each in recipe.told if each.key == key).outcome.note


@pytest.mark.parametrize(("key", "value", "beside"), IDLE)
def test_a_key_that_changes_nothing_says_why(key, value, beside, tmp_path):
    recipe = imported(tmp_path, **({key: value} | beside))
    assert fate(recipe, key) == ["meaningless here"]
    assert next(each for each in recipe.told if each.key == key).outcome.note


@pytest.mark.parametrize(("given", "message"), WRONG, ids=str)
def test_a_value_that_no_recipe_can_have_is_refused_by_its_key(given, message, tmp_path):
    with pytest.raises(ArgumentsError) as caught:
        imported(tmp_path, **given)
    assert any(message in each for each in caught.value.problems), caught.value.problems


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_in_one_list_or_refused(key, tmp_path):
    if key == "dataset_config":
        return  # tests/importing/test_kohya_settings.py
    for value in (False, 1, "a"):
        recipe, problems = imported_or_refused(tmp_path, **{key: value})
        if recipe is None:
            assert [each for each in problems if f"`{key}`" in each] == problems
        else:
            assert fate(recipe, key) in (["taken over"], ["no equal"], ["meaningless here"])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"network_alpha": 16, "network_args": ["conv_dim=4"]}, True),
        ({**LYCORIS, "network_alpha": 16, "network_args": ["conv_dim=4"]}, False),
        (
            {"network_module": "networks.loha", "network_alpha": 2, "network_args": ["conv_dim=4"]},
            True,
        ),
        ({"network_args": ["conv_dim=4"]}, False),
        ({"network_alpha": 16, "network_args": ["conv_dim=0"]}, False),
        ({"network_alpha": 16, "network_args": ["conv_dim=4", "conv_alpha=16"]}, False),
    ],
    ids=str,
)
def test_an_alpha_of_convolutions_that_is_not_given_is_1_there(given, expected, tmp_path):
    lines = list(imported(tmp_path, **given).lists())
    told = [each for each in lines if each.strip().startswith("network_args.conv_alpha = 1: ")]
    assert len(told) == expected
    if expected:
        heading = max(n for n, each in enumerate(lines[: lines.index(told[0])]) if each[0] != " ")
        assert lines[heading].startswith("Has no equal here")
        alpha = given["network_alpha"]
        assert told[0].endswith(f"convolutions get that of `network_alpha`, {alpha}")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"network_alpha": 0, "network_args": ["conv_dim=4", "conv_alpha=0"]}, "taken over"),
        ({"network_alpha": 1, "network_args": ["conv_dim=4", "conv_alpha=0"]}, "no equal"),
        ({**LYCORIS, "network_args": ["conv_dim=4", "conv_alpha=0"]}, "taken over"),
    ],
    ids=str,
)
def test_an_alpha_of_0_is_the_rank(given, expected, tmp_path):
    assert fate(imported(tmp_path, **given), "network_args.conv_alpha") == [expected]


def test_unknown_keys_are_named_with_what_was_probably_meant(tmp_path):
    recipe = imported(tmp_path, network_dimm=4, whatever="x")
    assert fate(recipe, "network_dimm") == fate(recipe, "whatever") == ["unknown"]
    lines = list(recipe.lists())
    assert "  network_dimm = 4: did you mean `network_dim`?" in lines
    assert "Not known to sdtune, and left out (2):" in lines


def test_all_problems_are_told_at_once(tmp_path):
    with pytest.raises(ArgumentsError) as caught:
        imported(tmp_path, network_dim=0, clip_skip=0, seed=-1)
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    "given",
    [
        {"optimizer_type": "mine", "lr_scheduler": "cosine", "lr_warmup_steps": 10},
        {"network_module": "mine", "network_dropout": 0.1, "network_args": ["dora_wd=True"]},
        {"network_dim": "a", "network_alpha": 0, "network_args": ["conv_dim=4"]},
        {"lr_scheduler": "polynomial", "lr_scheduler_power": "a"},
    ],
)
def test_a_wrong_value_is_said_of_its_own_key_alone(given, tmp_path):
    with pytest.raises(ArgumentsError) as caught:
        imported(tmp_path, **given)
    assert len(caught.value.problems) == 1


def test_the_lists_count_every_key_that_is_given(tmp_path):
    given = {"sec": 1, "xformers": True, "color_aug": True, "lr_scheduler": "linear", "empty": ""}
    recipe = imported(tmp_path, **given)
    assert sorted(each.key for each in recipe.told) == sorted(LORA | given)


def test_the_head_of_the_file_holds_comments_whatever_strangers_write(tmp_path):
    (tmp_path / "train.toml").write_text(
        "\n".join(f"{key} = {value!r}" for key, value in LORA.items())
        + '\n"x\\u2028seed: 666\\nseed" = "a\\u0085b\\nmodel: c\\u001b[2J"\n',
        encoding="utf-8",
    )
    recipe = import_kohya(read_kohya(tmp_path / "train.toml"))
    assert yaml.safe_load(recipe.text()) == recipe.content
    assert "\x1b" not in recipe.text()


def test_the_table_of_the_documentation_is_that_of_the_command():
    text = (ROOT / "docs" / "coming_from_kohya.md").read_text(encoding="utf-8")
    table = "\n".join(documentation())
    assert f"\n\n{table}\n\n" in text, f"write this into docs/coming_from_kohya.md:\n{table}"
    assert len(KEYS) > 150
