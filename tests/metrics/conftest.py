"""Tiny networks to judge with."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdtune.metrics.features import CLIPEmbedder, DINOEmbedder, load_clip, load_dino
from tests.metrics.tiny_networks import make_tiny_clip, make_tiny_dino


@pytest.fixture(scope="session")
def clip_folder(tiny_sd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_clip(tmp_path_factory.mktemp("judges") / "clip", tiny_sd / "tokenizer")


@pytest.fixture(scope="session")
def dino_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_dino(tmp_path_factory.mktemp("judges") / "dino")


@pytest.fixture(scope="session")
def clip(clip_folder: Path) -> CLIPEmbedder:
    return load_clip(clip_folder)


@pytest.fixture(scope="session")
def dino(dino_folder: Path) -> DINOEmbedder:
    return load_dino(dino_folder)
