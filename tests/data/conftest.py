from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def make_folder(tmp_path) -> Callable[..., Path]:
    """Pictures of noise, each of its own, with captions `a drawing of thing 0`, … beside them."""

    def make(count: int = 4, size: tuple[int, int] = (24, 16), name: str = "pictures") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        generator = np.random.default_rng(0)
        for index in range(count):
            pixels = generator.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{index:02}.png")
            (folder / f"{index:02}.txt").write_text(f"a drawing of thing {index}")
        return folder

    return make
