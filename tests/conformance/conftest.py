"""One model and one folder of pictures for all rows; a working folder for each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.conformance.bench import Bench
from tests.picture_folders import make_picture_folder


@pytest.fixture(scope="session")
def shared_bench(micro_sd: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Where all rows are tried."""
    folder = tmp_path_factory.mktemp("conformance")
    pictures = make_picture_folder(folder / "discs", count=6)
    return Bench(micro_sd, pictures, folder)


@pytest.fixture
def bench(shared_bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """The same, in an empty working folder."""
    monkeypatch.chdir(tmp_path)
    shared_bench.plain()
    return replace(shared_bench, folder=tmp_path)
