"""Captions of tags, by a WD 1.4 tagger in ONNX format."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from sdtune._imports import require
from sdtune.captioning.captioner import CaptionerSettings
from sdtune.captioning.model_files import explained, find_files
from sdtune.files.text_file import read_text

__all__ = ["Tag", "WDTagger", "read_tags"]

_MODEL = "SmilingWolf/wd-v1-4-moat-tagger-v2"
_NETWORK, _TAGS = "model.onnx", "selected_tags.csv"
_GENERAL, _CHARACTER = "0", "4"  # Danbooru's categories
_WORD = re.compile(r"[^\W_]{2}")


class Tag(NamedTuple):
    """A tag that the network knows.

    Attributes:
        name: As it is written in captions.
        category: "0" general, "4" a character, "9" a rating.
    """

    name: str
    category: str


class WDTagger:
    """Tags pictures as Danbooru does; made for drawings in anime style.

    Characters come first, then the other tags, the surest first. Ratings are left out.

    Args:
        session: An `onnxruntime.InferenceSession`: (B, H, W, 3) BGR in [0, 255] to (B, T)
            probabilities.
        tags: T tags.
        threshold: How sure the network is of a tag, in [0, 1].
        character_threshold: How sure it is of a character, in [0, 1].
        subject: A tag before all others.

    Raises:
        ValueError: If the network takes or gives something else.
    """

    def __init__(
        self,
        session: Any,
        tags: Sequence[Tag],
        threshold: float = 0.35,
        character_threshold: float = 0.35,
        subject: str = "",
    ) -> None:
        shape, given = session.get_inputs()[0].shape, session.get_outputs()[0].shape
        side = shape[1] if len(shape) == 4 else None
        if not isinstance(side, int) or list(shape[1:]) != [side, side, 3]:
            raise ValueError(f"Expected a network of (B, H, H, 3) pictures, but it takes {shape}.")
        if isinstance(given[-1], int) and given[-1] != len(tags):
            raise ValueError(
                f"Expected as many tags as the network knows, {given[-1]}, but {_TAGS} has "
                f"{len(tags)}: take both from one place."
            )
        self._session = session
        self._tags = list(tags)
        self._thresholds = {_GENERAL: threshold, _CHARACTER: character_threshold}
        self._subject = subject.strip()
        self._side = side
        self._at_once = shape[0] if isinstance(shape[0], int) else None

    @classmethod
    def load(cls, settings: CaptionerSettings) -> WDTagger:
        """Load a tagger.

        Args:
            settings: `model`, by default SmilingWolf/wd-v1-4-moat-tagger-v2: a Hugging Face id or
                a folder with model.onnx and selected_tags.csv, or an `.onnx` file beside the
                latter; thresholds; `subject`; `device`.

        Returns:
            The captioner.

        Raises:
            ModuleNotFoundError: If onnxruntime is not installed.
            ValueError: If the model is not available here, or is none of this kind.
        """
        require("onnxruntime", extra="caption")
        import onnxruntime

        source = settings.model or _MODEL
        if Path(source).is_file():
            network, table = Path(source), Path(source).with_name(_TAGS)
        else:
            network, table = find_files(source, (_NETWORK, _TAGS))
        wanted = ["CPUExecutionProvider"]
        if settings.device.startswith("cuda"):
            wanted.insert(0, "CUDAExecutionProvider")
        known = onnxruntime.get_available_providers()
        try:
            session = onnxruntime.InferenceSession(
                str(network), providers=[each for each in wanted if each in known]
            )
        except Exception as error:  # of onnxruntime's own kinds, which have no common one
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise ValueError(f"{network} could not be loaded by onnxruntime: {reason}") from error
        with explained(source):
            return cls(
                session,
                read_tags(table),
                settings.threshold,
                settings.character_threshold,
                settings.subject,
            )

    def describe(self, images: Sequence[Image.Image]) -> list[str]:
        """Tag pictures, see `Captioner.describe`."""
        pixels = np.stack([_prepared(image, self._side) for image in images])
        at_once = self._at_once or len(images)
        spare = np.zeros((-len(images) % at_once, *pixels.shape[1:]), np.float32)
        batches = np.concatenate([pixels, spare]).reshape(-1, at_once, *pixels.shape[1:])
        name = self._session.get_inputs()[0].name
        found = np.concatenate([self._session.run(None, {name: each})[0] for each in batches])
        return [self._joined(row) for row in found[: len(images)]]

    def _joined(self, probabilities: np.ndarray) -> str:
        found = [
            (tag.category != _CHARACTER, -float(probability), tag.name)
            for tag, probability in zip(self._tags, probabilities, strict=True)
            if tag.category in self._thresholds and probability > self._thresholds[tag.category]
        ]
        names = [name for *_, name in sorted(found)]
        if not names:
            return ""
        return ", ".join(filter(None, [self._subject, *names]))


def read_tags(path: Path) -> list[Tag]:
    """Read the tags of a network, in its order.

    Args:
        path: A CSV with columns `name` and `category`, as selected_tags.csv.

    Returns:
        The tags, with spaces for underscores, but in faces such as `>_<`.

    Raises:
        ValueError: If the columns are missing, or there is no such file.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path), newline="")))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"Expected {path} to hold the network's tags, but: {error}") from error
    if not rows or not {"name", "category"} <= set(rows[0]):
        raise ValueError(f"Expected {path} to have the columns `name` and `category`.")
    return [Tag(_readable(row["name"]), str(row["category"])) for row in rows]


def _readable(name: str) -> str:
    return name.replace("_", " ") if _WORD.search(name) else name


def _prepared(image: Image.Image, side: int) -> np.ndarray:
    """Lay a picture on a white square and resize it: (side, side, 3) BGR in [0, 255]."""
    longest = max(image.size)
    square = Image.new("RGB", (longest, longest), "white")
    square.paste(image, ((longest - image.width) // 2, (longest - image.height) // 2))
    square = square.resize((side, side), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(square, np.float32)[..., ::-1])
