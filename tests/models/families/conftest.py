from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.models.families.toy_xl import ToyXLFamily, make_toy_xl, registered


@pytest.fixture(scope="session")
def toy_xl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny base of a family that sdtune does not know."""
    return make_toy_xl(tmp_path_factory.mktemp("models") / "toy_xl")


@pytest.fixture
def family() -> Iterator[ToyXLFamily]:
    """That family, known to sdtune for one test."""
    family = ToyXLFamily()
    with registered(family):
        yield family
