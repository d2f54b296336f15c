"""Sprites drawn for the tests, in place of the vendors' emoji."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from sdtune.nano.making.tokenizer import build_tokenizer


@pytest.fixture(scope="session")
def sprites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sprite file of two styles and three objects; the second style lacks the last object."""
    path = tmp_path_factory.mktemp("sprites") / "sprites.zip"
    objects = {"apple": "red", "pizza": "orange", "jack-o-lantern": "black"}
    with zipfile.ZipFile(path, "w") as book:
        for style in ("noto", "blob"):
            for name, colour in objects.items():
                if (style, name) == ("blob", "jack-o-lantern"):
                    continue
                sprite = Image.new("RGBA", (96, 96))
                draw = ImageDraw.Draw(sprite)
                shape = draw.ellipse if style == "noto" else draw.rectangle
                shape((12, 12, 84, 84), colour)
                content = io.BytesIO()
                sprite.save(content, "WEBP", lossless=True)
                book.writestr(f"{style}/{name}.webp", content.getvalue())
    return path


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """nano's tokenizer, without the words of other emoji."""
    folder = tmp_path_factory.mktemp("tokenizer")
    build_tokenizer(folder)
    return folder
