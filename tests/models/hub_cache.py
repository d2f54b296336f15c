"""A local Hugging Face cache with one model in it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

__all__ = ["make_hub_cache"]


def make_hub_cache(
    cache: Path, repository: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copy a model's folder into a cache and make it the one that the hub's client reads."""
    commit = "0" * 40
    root = cache / f"models--{repository.replace('/', '--')}"
    shutil.copytree(folder, root / "snapshots" / commit)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
