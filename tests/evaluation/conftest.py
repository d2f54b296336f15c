"""A CLIP of random weights that judges, and soft random pictures to judge."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from sdtune.evaluation.judges import load_judges
from sdtune.evaluation.training_set import TrainingSet
from sdtune.metrics.judges import Judges
from tests.metrics.tiny_networks import make_tiny_clip, make_tiny_dino, random_images


@pytest.fixture(scope="session")
def judge_folders(tiny_sd: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of a CLIP and of a DINO."""
    folder = tmp_path_factory.mktemp("judges")
    return (
        make_tiny_clip(folder / "clip", tiny_sd / "tokenizer"),
        make_tiny_dino(folder / "dino"),
    )


@pytest.fixture(scope="session")
def judges(judge_folders: tuple[Path, Path]) -> Judges:
    clip, dino = judge_folders
    return load_judges(str(clip), str(dino), num_seeds=1)


@pytest.fixture(scope="session")
def training(tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    """Six captioned pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    for number, image in enumerate(random_images(6, seed=0)):
        pixels = (255 * image).byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"picture {number}")
    return TrainingSet.from_folder(folder)
