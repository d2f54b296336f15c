"""The pictures of each checkpoint, kept on the disk so that a resumed run still shows them."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image, PngImagePlugin
from torch import Tensor

from sdtune.callbacks.grid_image import GridRow
from sdtune.files.atomic_file import replaced_atomically

__all__ = ["SampleRows"]

_SETTINGS_KEY = "sdtune"
_STEP = re.compile(r"step_(\d+)\.png")


class SampleRows:
    """A folder with a strip of pictures per checkpoint: `base.png`, `step_000200.png`, ….

    Each strip is lossless, at full size, and says in its header how it was sampled: a strip made
    with other prompts or settings is not mixed into the grid.

    Args:
        folder: Where the strips are.
        settings: What the pictures depend on besides the weights; anything JSON can hold.
        tiles: Pictures in a strip.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], tiles: int) -> None:
        self.folder = folder
        self.settings = json.dumps(settings, sort_keys=True)
        self.tiles = tiles

    @classmethod
    def found(cls, folder: Path) -> SampleRows | None:
        """Open what a run has left, with the settings that its latest strip names.

        Args:
            folder: Where the strips are.

        Returns:
            The strips; None if there are none, or they do not say how they were sampled.
        """
        for path in sorted(folder.glob("*.png"), key=_order, reverse=True):
            with Image.open(path) as strip:
                settings = json.loads(strip.info.get(_SETTINGS_KEY, "{}"))
            if "prompts" in settings and "seeds" in settings:
                return cls(folder, settings, len(settings["prompts"]) * len(settings["seeds"]))
        return None

    def has(self, step: int | None) -> bool:
        """Tell whether a row is there.

        Args:
            step: Optimizer steps, or None for the base.
        """
        return self._read(self._path(step)) is not None

    def write(self, step: int | None, images: Tensor) -> None:
        """Store a row, replacing one of the same step.

        Args:
            step: Optimizer steps, or None for the base.
            images: (B, 3, H, W) in [0, 1].
        """
        strip = torch.cat(list(images), dim=2)  # (B, 3, H, W) -> (3, H, B * W)
        header = PngImagePlugin.PngInfo()
        header.add_text(_SETTINGS_KEY, self.settings)
        with replaced_atomically(self._path(step)) as temporary:
            _to_picture(strip).save(temporary, format="PNG", pnginfo=header)

    def rows(self) -> list[GridRow]:
        """Read all rows, see `up_to`."""
        return self.up_to(max(self._steps(), default=0))

    def up_to(self, step: int) -> list[GridRow]:
        """Read the rows of this run's past.

        Args:
            step: Optimizer steps taken so far. Later rows are of a future that a resumed run has
                given up, and are left out.

        Returns:
            The base's row, if it is there, and then the others in order of steps.
        """
        named = {None: self.folder / "base.png"} | dict(sorted(self._steps(step).items()))
        rows = []
        for number, path in named.items():
            tiles = self._read(path)
            if tiles is not None:
                rows.append(GridRow("base" if number is None else f"step {number}", tiles))
        return rows

    def adopt(self, folder: Path, step: int) -> None:
        """Copy the past of a run that continues in a new folder.

        Args:
            folder: Its old folder; one that is gone is ignored.
            step: Optimizer steps taken so far.
        """
        if folder == self.folder or not folder.is_dir():
            return
        old = SampleRows(folder, json.loads(self.settings), self.tiles)
        for path in (folder / "base.png", *old._steps(step).values()):
            if path.is_file() and not (self.folder / path.name).exists():
                with replaced_atomically(self.folder / path.name) as temporary:
                    shutil.copyfile(path, temporary)

    def _path(self, step: int | None) -> Path:
        return self.folder / ("base.png" if step is None else f"step_{step:06d}.png")

    def _steps(self, last: float = math.inf) -> dict[int, Path]:
        found = {_order(path): path for path in self.folder.glob("step_*.png")}
        return {step: path for step, path in found.items() if 0 <= step <= last}

    def _read(self, path: Path) -> list[Image.Image] | None:
        if not path.is_file():
            return None
        with Image.open(path) as strip:
            if strip.info.get(_SETTINGS_KEY) != self.settings:
                return None
            width = strip.width // self.tiles
            boxes = [(i * width, 0, (i + 1) * width, strip.height) for i in range(self.tiles)]
            return [strip.crop(box) for box in boxes]


def _order(path: Path) -> int:
    match = _STEP.fullmatch(path.name)
    return int(match[1]) if match else -1


def _to_picture(image: Tensor) -> Image.Image:
    # a diverged model yields nan, which is drawn black instead of at random
    levels = image.detach().float().nan_to_num(0.0).clamp(0.0, 1.0).mul(255).round()
    return Image.fromarray(levels.to("cpu", torch.uint8).permute(1, 2, 0).numpy())
