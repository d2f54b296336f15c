"""A text encoder that is saved has names that older releases of transformers find."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from sdtune.models.older_names import name_for_older_releases


def _config() -> CLIPTextConfig:
    widths = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2}
    return CLIPTextConfig(**widths, num_hidden_layers=1, vocab_size=9, projection_dim=4)


@pytest.mark.parametrize("kind", [CLIPTextModel, CLIPTextModelWithProjection])
def test_names_are_those_of_older_releases_and_values_stay(kind: type, tmp_path: Path) -> None:
    model = kind(_config()).half()
    model.save_pretrained(tmp_path)
    name_for_older_releases(tmp_path)
    path = tmp_path / "model.safetensors"
    with safe_open(path, "pt") as file:
        names = list(file.keys())
        assert file.metadata() == {"format": "pt"}
    assert {name.partition(".")[0] for name in names} <= {"text_model", "text_projection"}
    assert ("text_projection.weight" in names) == (kind is CLIPTextModelWithProjection)
    again = kind.from_pretrained(tmp_path, dtype=torch.float16).state_dict()
    for name, value in model.state_dict().items():
        assert torch.equal(again[name], value), name


def test_names_that_are_right_are_left(tmp_path: Path) -> None:
    CLIPTextModelWithProjection(_config()).save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    before = path.stat().st_mtime_ns, load_file(path).keys()
    name_for_older_releases(tmp_path)
    assert (path.stat().st_mtime_ns, load_file(path).keys()) == before
