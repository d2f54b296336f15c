from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sdtune.drawing.drawer import Drawer
from sdtune.drawing.request import Request, run_sampling
from sdtune.drawing.settings import PictureSettings
from sdtune.play.likeness import likeness
from sdtune.play.offered import OfferedAdapter, offer
from sdtune.play.studio import Asked, Studio


@pytest.fixture(scope="session")
def run(drawn_run: Path) -> Path:
    return drawn_run


@pytest.fixture(scope="session")
def word(drawn_word: Path) -> Path:
    return drawn_word


@pytest.fixture(scope="session")
def offered(run: Path, word: Path) -> list[OfferedAdapter]:
    return [offer(run), offer(word)]


@pytest.fixture(scope="session")
def drawer(micro_sd: Path, offered: list[OfferedAdapter]) -> Drawer:
    return Drawer(micro_sd, [each.source(each.first) for each in offered], device="cpu")


@pytest.fixture(scope="session")
def first(drawer: Drawer, offered: list[OfferedAdapter], run: Path) -> PictureSettings:
    sources = [each.source(each.first) for each in offered]
    return Request(sources).settings(drawer, run_sampling(run))[0]


@pytest.fixture
def studio(drawer: Drawer, offered: list[OfferedAdapter], tmp_path: Path) -> Studio:
    return Studio(drawer, offered, tmp_path / "drawn", tmp_path / "kept")


@pytest.fixture
def asked(drawer: Drawer, offered: list[OfferedAdapter], first: PictureSettings) -> Asked:
    return replace(likeness(first, drawer, offered).asked, num_inference_steps=2)
