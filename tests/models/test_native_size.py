from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from sdtune.models import load
from sdtune.models.native_size import native_resolution
from sdtune.models.skeleton import find_resolution

VAE = {"block_out_channels": [1, 2, 4, 4], "sample_size": 512}
UNNAMED = {"sample_size": 32, "_use_default_values": ["sample_size"]}


@pytest.mark.parametrize(
    ("unet", "vae", "resolution"),
    [
        ({"sample_size": 64}, VAE, 512),
        ({"sample_size": 96}, VAE, 768),
        ({"sample_size": [64, 64]}, VAE, 512),
        ({"sample_size": None}, VAE, 512),
        ({}, {**VAE, "sample_size": [768, 768]}, 768),
        (UNNAMED, VAE, 512),
    ],
)
def test_the_side_is_the_unet_s_or_else_the_vae_s(
    unet: dict[str, Any], vae: dict[str, Any], resolution: int
) -> None:
    assert native_resolution(unet, vae, "base") == resolution


@pytest.mark.parametrize(
    ("unet", "vae", "message"),
    [
        ({"sample_size": [8, 12]}, VAE, r"unet/config\.json of `base` mine .* but got \[8, 12\]"),
        ({"sample_size": "64"}, VAE, "but got 64: write one whole number"),
        ({"sample_size": 0}, VAE, "but got 0"),
        ({}, {**VAE, "sample_size": [512, 768]}, r"vae/config\.json .* but got \[512, 768\]"),
        ({}, VAE | UNNAMED, "neither the UNet's nor the VAE's configuration has one"),
    ],
)
def test_what_is_no_square_s_side_is_refused(
    unet: dict[str, Any], vae: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        native_resolution(unet, vae, "mine")


@pytest.mark.parametrize("size", [8, [8, 8], None])
def test_a_base_and_its_configurations_agree(micro_sd: Path, tmp_path: Path, size: Any) -> None:
    folder = Path(shutil.copytree(micro_sd, tmp_path / "model"))
    path = folder / "unet" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sample_size": size}))
    assert load(folder).resolution == find_resolution(folder) == 64
