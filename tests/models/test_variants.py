from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from sdtune.models.variants import Variant, choose_variant

PARTS = ("unet", "text_encoder")
DIFFUSERS, TRANSFORMERS = "unet/diffusion_pytorch_model", "text_encoder/model"
SHARDS = [f"diffusion_pytorch_model-0000{n}-of-00002.safetensors" for n in (1, 2)]
INDEX = f"{DIFFUSERS}.safetensors.index.json"
WHOLE_FP16 = [f"{DIFFUSERS}.fp16.safetensors", f"{TRANSFORMERS}.fp16.safetensors"]


def _choose(names: Iterable[str], indices: dict[str, list[str]] | None = None) -> Variant:
    def read(name: str) -> dict[str, Any]:
        return {"weight_map": dict(enumerate((indices or {})[name]))}

    return choose_variant({*names, *(indices or {})}, PARTS, read)


def test_weights_without_a_name_go_first_and_fp16_next() -> None:
    plain = [f"{DIFFUSERS}.safetensors", f"{TRANSFORMERS}.safetensors"]
    bf16 = [name.replace("fp16", "bf16") for name in WHOLE_FP16]
    assert _choose([*plain, *WHOLE_FP16]) == Variant(None, frozenset())
    assert _choose([*bf16, *WHOLE_FP16]) == Variant("fp16", frozenset())
    assert _choose([*bf16, WHOLE_FP16[0]]) == Variant("bf16", frozenset())
    mixed = [WHOLE_FP16[0], f"{TRANSFORMERS}.safetensors"]
    assert _choose(mixed) == Variant("fp16", frozenset({"text_encoder"}))


def test_a_variant_is_chosen_of_which_all_files_are_there() -> None:
    indices = {INDEX: SHARDS}
    plain = [f"{TRANSFORMERS}.safetensors", f"unet/{SHARDS[0]}"]
    assert _choose([*plain, *WHOLE_FP16], indices).name == "fp16"
    assert _choose([*plain, f"unet/{SHARDS[1]}", *WHOLE_FP16], indices).name is None


def test_what_the_nearest_variant_lacks_is_named() -> None:
    text = f"{TRANSFORMERS}.safetensors"
    assert _choose([text, f"unet/{SHARDS[0]}"], {INDEX: SHARDS}).missing == (f"unet/{SHARDS[1]}",)
    assert _choose([text, f"unet/{SHARDS[0]}"]).missing == (INDEX,)
    assert _choose([text]).missing == ("weights in unet/",)
    fp16 = f"{DIFFUSERS}.safetensors.index.fp16.json"
    lost = _choose([text, "unet/diffusion_pytorch_model.fp16-00001-of-00002.safetensors"])
    assert lost.missing == (fp16,)
    apart = [WHOLE_FP16[0], f"{TRANSFORMERS}.bf16.safetensors"]
    assert _choose(apart).missing == ("weights of the variant fp16 in text_encoder/",)


@pytest.mark.parametrize(
    ("names", "index", "lost"),
    [
        # diffusers reads several files before one, transformers one before several
        ([f"{DIFFUSERS}.safetensors", f"{TRANSFORMERS}.safetensors"], INDEX, True),
        (
            [f"{DIFFUSERS}.safetensors", f"{TRANSFORMERS}.safetensors"],
            f"{TRANSFORMERS}.safetensors.index.json",
            False,
        ),
        # .bin is read where there is no other
        (
            [f"{DIFFUSERS}.safetensors", f"{TRANSFORMERS}.safetensors"],
            "text_encoder/pytorch_model.bin.index.json",
            False,
        ),
        ([f"{DIFFUSERS}.bin"], "text_encoder/pytorch_model.bin.index.json", True),
        ([f"{DIFFUSERS}.bin", f"{TRANSFORMERS}.bin"], f"{DIFFUSERS}.bin.index.json", False),
    ],
)
def test_the_index_is_asked_that_would_be_read(names: list[str], index: str, lost: bool) -> None:
    part = index.partition("/")[0]
    missing = (f"{part}/shard",) if lost else ()
    assert _choose(names, {index: ["shard"]}).missing == missing


def test_what_is_not_downloaded_yet_is_taken_to_be_there() -> None:
    names = {INDEX, *(f"unet/{each}" for each in SHARDS), f"{TRANSFORMERS}.safetensors"}
    assert choose_variant(names, PARTS, None) == Variant(None, frozenset())
