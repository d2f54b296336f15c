from __future__ import annotations

from pathlib import Path

import pytest

from sdtune.models import StableDiffusion, load


@pytest.fixture(scope="session")
def model(tiny_sd: Path) -> StableDiffusion:
    """A loaded model that no test changes."""
    return load(tiny_sd)


@pytest.fixture(scope="session")
def model_v(tiny_sd_v: Path) -> StableDiffusion:
    """A loaded v-prediction model with zero terminal SNR that no test changes."""
    return load(tiny_sd_v)
