from __future__ import annotations

from pathlib import Path

import pytest

from tests.drawn_run import make_run, make_word


@pytest.fixture(scope="session")
def run(micro_sd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(micro_sd, tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def word(micro_sd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_word(micro_sd, tmp_path_factory.mktemp("word"))
