"""How hard each training picture is: `picture_losses.json`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import FiniteFloat

from sdtune.files.confined_path import ConfinedPath
from sdtune.files.json_file import read_json, write_json

__all__ = ["PictureLoss", "read_picture_losses", "write_picture_losses"]

_VERSION = 1


@dataclass(frozen=True)
class PictureLoss:
    """How hard a training picture is, see `sdtune.PictureLosses`.

    Attributes:
        loss: Mean loss.
        relative_loss: Loss compared with all pictures at like noise; 1 is ordinary.
        count: How often the picture was trained on.
    """

    loss: FiniteFloat
    relative_loss: FiniteFloat
    count: int


@dataclass(frozen=True)
class _File:
    version: int
    pictures: dict[ConfinedPath, PictureLoss]


def read_picture_losses(path: Path) -> dict[str, PictureLoss]:
    """Read how hard the pictures are.

    Args:
        path: The file.

    Returns:
        Picture, below the data's folder -> how hard it is; hardest first.

    Raises:
        OSError: If the file cannot be read.
        JsonFileError: If it does not hold what it should.
    """
    pictures = read_json(_File, path, _VERSION).pictures
    return dict(sorted(pictures.items(), key=lambda item: -item[1].relative_loss))


def write_picture_losses(path: Path, pictures: Mapping[str, PictureLoss]) -> None:
    """Write how hard the pictures are.

    Args:
        path: The file; an existing one is replaced.
        pictures: Picture, below the data's folder -> how hard it is.
    """
    write_json(path, dataclasses.asdict(_File(_VERSION, dict(pictures))))
