"""A local Hugging Face cache with one model in it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

__all__ = ["make_hub_cache"]


def make_hub_cache(
    cache: Path,
    repository: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    revision: str = "main",
) -> Path:
    """Copy a model's folder into a cache and make it the one that the hub's client reads.

    Returns:
        The copy, the snapshot of the revision.
    """
    root = cache / f"models--{repository.replace('/', '--')}"
    commit = f"{len(list(root.glob('snapshots/*'))):040x}"
    snapshot = Path(shutil.copytree(folder, root / "snapshots" / commit))
    (root / "refs").mkdir(exist_ok=True)
    (root / "refs" / revision).write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    return snapshot
