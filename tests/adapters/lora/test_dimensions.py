"""Tensors that cannot be multiplied are refused by their names, before any of them is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sdtune.adapters.inspection import inspect_adapter
from sdtune.adapters.lora import lora_layers
from sdtune.adapters.lora.dimensions import check_dimensions
from sdtune.adapters.pipeline import load_adapter

QUERY = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"

LORA = {"lora_down.weight": (2, 8), "lora_up.weight": (8, 2)}
LOHA = {"hada_w1_a": (8, 2), "hada_w1_b": (2, 8), "hada_w2_a": (8, 2), "hada_w2_b": (2, 8)}
LOKR = {"lokr_w1": (2, 2), "lokr_w2_a": (4, 2), "lokr_w2_b": (2, 4)}
CORES = {"hada_t1": (2, 2, 3, 3), "hada_t2": (2, 2, 3, 3)}
TUCKER = dict.fromkeys(LOHA, (2, 8)) | CORES


@pytest.mark.parametrize("shapes", [LORA, LOHA, LOKR, TUCKER, {**LORA, "alpha": ()}])
def test_sizes_that_go_together(shapes):
    check_dimensions({f"{QUERY}.{name}": shape for name, shape in shapes.items()}, Path("a"))


@pytest.mark.parametrize(
    ("shapes", "name", "reason"),
    [
        ({**LORA, "alpha": (2,)}, "alpha", ", 2, is more than one number"),
        ({**LORA, "lora_down.weight": ()}, "lora_down.weight", " has 0 dimensions and not 2 or 3"),
        ({**LORA, "lora_up.weight": (8,)}, "lora_up.weight", " has 1 dimension and not 2 or 3"),
        (
            {"lora_down.weight": (0, 8), "lora_up.weight": (8, 0)},
            "lora_down.weight",
            ", 0 x 8, holds no number",
        ),
        ({**LORA, "lora_down.weight": (3, 8)}, "lora_down.weight", ", 3 x 8, does not go with"),
        ({**LORA, "lora_mid.weight": (3, 5)}, "lora_mid.weight", " has 2 dimensions and not 4"),
        (
            {**LORA, "lora_mid.weight": (2, 3, 3, 3)},
            "lora_mid.weight",
            f", 2 x 3 x 3 x 3, does not go with `{QUERY}.lora_down.weight`, 2 x 8",
        ),
        ({**LORA, "dora_scale": ()}, "dora_scale", " has 0 dimensions and not 1 or 2"),
        ({**LORA, "lora_up.bias": (3,)}, "lora_up.bias", ", 3, does not go with"),
        (
            {**LOHA, "hada_w2_b": (7, 3)},
            "hada_w2_a",
            f", 8 x 2, does not go with `{QUERY}.hada_w2_b`, 7 x 3",
        ),
        (
            {**LOHA, "hada_w2_a": (4, 2)},
            "hada_w1_a",
            f", 8 x 2, does not go with `{QUERY}.hada_w2_a`, 4 x 2",
        ),
        ({**TUCKER, "hada_t2": (3, 2, 3, 3)}, "hada_t2", ", 3 x 2 x 3 x 3, does not go with"),
        ({**LOHA, "hada_w1_a": (3,)}, "hada_w1_a", " has 1 dimension and not 2"),
        ({**LOKR, "lokr_w2_b": (3, 4)}, "lokr_w2_a", ", 4 x 2, does not go with"),
        ({**LOKR, "lokr_w1": ()}, "lokr_w1", " has 0 dimensions and not 2"),
    ],
)
def test_those_that_do_not_are_named(model, tmp_path, shapes, name, reason):
    path = tmp_path / "a.safetensors"
    save_file({f"{QUERY}.{each}": torch.ones(shape) for each, shape in shapes.items()}, path)
    with pytest.raises(ValueError, match=re.escape(f"`{QUERY}.{name}`{reason}")) as caught:
        load_adapter(model, path)
    assert not lora_layers(model)
    assert str(path) in str(caught.value)
    [told] = inspect_adapter(path)
    assert told.is_damaged
    assert told.notes[0] == str(caught.value)
