"""The order of a file decides nothing, whichever keys come to one of ours."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest

from sdtune._checks import ArgumentsError
from sdtune.importing import kohya_recipe
from sdtune.importing.kohya_recipe import Told, import_kohya
from sdtune.importing.kohya_settings import KohyaSettings
from sdtune.importing.kohya_table import KEYS
from sdtune.importing.outcome import Outcome, UnfitError
from tests.importing.kohya_files import LORA
from tests.importing.test_kohya_recipe import imported, said

VALUES = (True, False, "true", 0, 0.3, 1, 2, 300, "a", "lora", "lokr", "full", "attn-only", "lion")
AROUND: list[dict[str, Any]] = [
    {},
    {"network_module": "lycoris.kohya"},
    {"enable_bucket": True},
    {"reg_data_dir": "class"},
    {"save_every_n_steps": 100},
    {"save_every_n_epochs": 2, "max_train_epochs": 3},
]


def settings_of(values: dict[str, Any]) -> KohyaSettings:
    return KohyaSettings(Path("train.toml"), values)


@cache
def values_by_target() -> dict[str, dict[str, list[Any]]]:
    """Find which values of which keys come to each of ours."""
    found: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for key, value, around in product(KEYS, VALUES, AROUND):
        # those of a data set's subsets come to nothing: its file puts what it replaces aside
        try:
            ours = KEYS[key].convert(value, settings_of(LORA | around | {key: value})).ours
        except UnfitError:
            continue
        for target in ours:
            # all keys below `data.buckets` are about one thing
            place = ".".join(target.split(".")[:2])
            if not any(value is each for each in found[place][key]):
                found[place][key].append(value)
    return {target: dict(keys) for target, keys in found.items() if len(keys) > 1}


def content(values: dict[str, Any]) -> Any:
    try:
        return import_kohya(settings_of(values)).content
    except ArgumentsError as error:
        return sorted(error.problems)


def test_keys_that_share_one_of_ours_are_found():
    pairs = {
        "data.buckets": {"enable_bucket", "bucket_no_upscale"},
        "model.dropout": {"network_dropout", "network_args.dropout"},
        "model.use_dora": {"network_args.dora_wd", "network_args.use_dora"},
        "model.quantization": {"fp8_base", "fp8_base_unet"},
        "AdapterCheckpoint.keep": {"save_last_n_steps", "save_last_n_epochs"},
        "data.batch_size": {"train_batch_size", "batch_size"},
    }
    found = values_by_target()
    for target, keys in pairs.items():
        assert keys <= found[target].keys()


@pytest.mark.parametrize("target", values_by_target())
def test_the_order_of_two_keys_of_one_target_decides_nothing(target):
    keys = values_by_target()[target]
    for (one, some), (other, more) in combinations(keys.items(), 2):
        for a, b, around in product(some, more, AROUND):
            rest = {key: each for key, each in (LORA | around).items() if key not in (one, other)}
            first = content({one: a, other: b} | rest)
            assert first == content({other: b, one: a} | rest), (one, a, other, b, around)
            assert first == content(rest | {other: b, one: a}), (one, a, other, b, around)


LYCORIS = {"network_module": "lycoris.kohya"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"bucket_no_upscale": True, "enable_bucket": True, "max_bucket_reso": 32},
            {"data.buckets": {"enlarge": False}},
        ),
        (
            {**LYCORIS, "network_args": ["dropout=0.3"], "network_dropout": 0},
            {"model.dropout": 0.3},
        ),
        ({"network_args": ["dropout=0.3"], "network_dropout": 0.1}, {"model.dropout": 0.1}),
        (
            {**LYCORIS, "network_args": ["use_dora=True", "dora_wd=False"]},
            {"model.use_dora": False},
        ),
        ({"fp8_base": True, "fp8_base_unet": False}, {"model.quantization": "int8"}),
        ({"batch_size": 8, "train_batch_size": 2}, {"data.batch_size": 2}),
    ],
    ids=str,
)
def test_what_goes_first_there_goes_first_here(given, expected, tmp_path):
    for each in (given, dict(reversed(given.items()))):
        assert said(imported(tmp_path, **each)).items() >= expected.items()


@pytest.mark.parametrize(
    ("outcomes", "message"),
    [
        ([{"model.rank": 4}, {"model.rank": 8}], "`a` and `b` to agree on `model.rank`"),
        ([{"data.buckets": None}, {"data.buckets.step": 8}], "`b` to write nothing below"),
    ],
)
def test_two_values_for_one_key_are_a_fault_that_is_told(outcomes, message):
    told = [
        Told(key, 1, Outcome("taken over", ours)) for key, ours in zip("ab", outcomes, strict=True)
    ]
    with pytest.raises(RuntimeError, match=message):
        kohya_recipe._gathered(told)
