"""A Hugging Face hub within reach, which has the files of a folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

__all__ = ["reach_hub"]


def reach_hub(monkeypatch: pytest.MonkeyPatch, folder: Path, cache: Path) -> list[SimpleNamespace]:
    """Let every repository of the hub hold the files of a folder.

    Args:
        monkeypatch: Puts the hub in place.
        folder: The files.
        cache: Where those go that are fetched, one at a time.

    Returns:
        The files that the hub lists, by `rfilename`; what is taken out of it is not there.
    """
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*.*")]
    siblings = [SimpleNamespace(rfilename=name) for name in names]

    def fetch(repository: str, name: str, **options: Any) -> str:
        (cache / name).parent.mkdir(parents=True, exist_ok=True)
        return str(shutil.copy(folder / name, cache / name))

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", fetch)
    monkeypatch.setattr(
        "huggingface_hub.model_info", lambda *args, **kwargs: SimpleNamespace(siblings=siblings)
    )
    return siblings
