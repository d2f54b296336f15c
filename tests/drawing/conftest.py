from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def run(drawn_run: Path) -> Path:
    return drawn_run


@pytest.fixture(scope="session")
def word(drawn_word: Path) -> Path:
    return drawn_word
