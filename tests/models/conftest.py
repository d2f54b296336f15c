from __future__ import annotations

from pathlib import Path

import pytest

from sdtune.models import StableDiffusion, load, loading


@pytest.fixture(autouse=True)
def _bases_from_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading is what is tested here: none comes from memory."""
    monkeypatch.setattr(loading, "_load_model", loading._load_model.load)


@pytest.fixture(scope="session")
def model(tiny_sd: Path) -> StableDiffusion:
    """A loaded model that no test changes."""
    return load(tiny_sd)


@pytest.fixture(scope="session")
def model_v(tiny_sd_v: Path) -> StableDiffusion:
    """A loaded v-prediction model with zero terminal SNR that no test changes."""
    return load(tiny_sd_v)
