"""Settings in a picture's own file: written into a PNG's header, and read back."""

from __future__ import annotations

import json
import stat
from dataclasses import asdict
from pathlib import Path

from PIL import Image

from sdtune.drawing import parameters
from sdtune.drawing.settings import VERSION, PictureSettings
from sdtune.files.json_file import JsonFileError, parse_json

__all__ = ["KEYWORD", "read_settings", "settings_text"]

KEYWORD = "sdtune.picture"
"""Of the text in a PNG's header."""

_LARGEST_TEXT = 100_000  # characters
_LARGEST_FILE = 200_000_000  # bytes


def settings_text(settings: PictureSettings) -> str:
    """Write settings as JSON; equal settings give equal texts.

    Args:
        settings: Of a picture that was drawn.

    Returns:
        The text for `KEYWORD`.
    """
    return json.dumps(asdict(settings), sort_keys=True, allow_nan=False)


def read_settings(path: Path) -> PictureSettings:
    """Read what a picture was drawn by, from its header alone; pixels are not decoded.

    Nothing that is named there is opened, and nothing is larger than a picture's settings can be.

    Args:
        path: A PNG.

    Returns:
        The settings, in their ranges.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no PNG, holds no settings of sdtune's, or they are damaged.
    """
    texts = _texts(path)
    text = texts.get(KEYWORD)
    if not isinstance(text, str):
        other = " only those of another program" if parameters.KEYWORD in texts else " none"
        raise ValueError(
            f"Expected {path} to hold the settings that sdtune writes into its pictures, but it "
            f"holds{other}: give the prompt and the rest as options."
        )
    if len(text) > _LARGEST_TEXT:
        raise ValueError(
            f"Expected the settings in {path} to have at most {_LARGEST_TEXT} characters, but they "
            f"have {len(text)}."
        )
    settings = parse_json(PictureSettings, text, path)
    if settings.version != VERSION:
        raise ValueError(
            f"Expected the settings in {path} to be of version {VERSION}, but they are of "
            f"{settings.version}: a later sdtune reads them."
        )
    try:
        settings.check()
    except ValueError as error:
        raise JsonFileError(path, getattr(error, "problems", [str(error)])) from error
    return settings


def _texts(path: Path) -> dict[str, object]:
    if not path.is_file():
        raise FileNotFoundError(f"Expected a picture at {path}, but there is no such file.")
    told = path.stat()
    if not stat.S_ISREG(told.st_mode) or told.st_size > _LARGEST_FILE:
        raise ValueError(f"Expected {path} to be a picture, but it has {told.st_size} bytes.")
    try:
        # what stands before the pixels; Pillow bounds texts, and tells formats by content
        with Image.open(path, formats=("PNG",)) as picture:
            return {str(name): value for name, value in picture.info.items()}
    except Exception as error:  # a decoder meets a damaged file with almost any exception
        raise ValueError(f"Expected {path} to be a PNG, but it cannot be read: {error}") from error
