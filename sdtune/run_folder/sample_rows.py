"""The sampled pictures of each step, kept on the disk for resumed runs and for the report."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from PIL import Image
from pydantic import Field
from torch import Tensor

from sdtune.files.atomic_file import replaced_atomically
from sdtune.files.confined_path import lies_within
from sdtune.files.json_file import parse_json
from sdtune.run_folder.grid_image import GridRow
from sdtune.run_folder.layout import BASE_LABEL, by_step, step_label, step_name
from sdtune.run_folder.picture_file import from_bytes, read_png, to_bytes, write_png

__all__ = ["SampleRows", "Samples", "Sampling", "read_samples", "read_sampling", "rows_folder"]

_SETTINGS_KEY = "sdtune"
_FOLDER = "rows"


@dataclass(frozen=True)
class Samples:
    """The pictures that were drawn while training.

    Attributes:
        prompts: What was drawn.
        seeds: Each prompt once with each.
        rows: The base's and then each checkpoint's pictures, prompts outside and seeds inside.
        last_step: Optimizer steps of the last row.
    """

    prompts: Sequence[str]
    seeds: Sequence[int]
    rows: Sequence[GridRow]
    last_step: int


@dataclass(frozen=True)
class Sampling:
    """How a run draws its samples, as the header of its latest strip says.

    Attributes:
        prompts: What is drawn.
        seeds: Each prompt once with each.
        num_inference_steps: Steps of the sampler.
        guidance_scale: Strength of classifier-free guidance.
        negative_prompt: What guidance leads away from.
        width: Pixels; None for the base's own side.
        height: Likewise.
    """

    prompts: Annotated[list[str], Field(min_length=1)]
    seeds: Annotated[list[int], Field(min_length=1)]
    num_inference_steps: int = 25
    guidance_scale: float = 7.5
    negative_prompt: str = ""
    width: int | None = None
    height: int | None = None


def rows_folder(samples: Path) -> Path:
    """Find the folder of the strips.

    Args:
        samples: The run's folder of samples.
    """
    return samples / _FOLDER


def read_samples(samples: Path, within: Path | None = None) -> Samples | None:
    """Read what a run has drawn, with the settings that its latest strip names.

    Args:
        samples: The run's folder of samples.
        within: The folder that strips must lie in, links followed; None for anywhere.

    Returns:
        The pictures; None if there are none, or they do not say how they were sampled.

    Raises:
        ValueError: If a picture or its header is damaged.
    """
    header = _latest_header(samples, within)
    if header is None:
        return None
    found = parse_json(Sampling, *header)
    tiles = len(found.prompts) * len(found.seeds)
    rows = SampleRows(rows_folder(samples), json.loads(header[0]), tiles, within)
    return Samples(found.prompts, found.seeds, rows.rows(), rows.last_step)


def read_sampling(samples: Path) -> Sampling | None:
    """Read how a run draws its samples.

    Args:
        samples: The run's folder of samples.

    Returns:
        The settings; None if there are no samples, or they do not say how they were drawn.

    Raises:
        ValueError: If a picture or its header is damaged.
    """
    header = _latest_header(samples)
    return None if header is None else parse_json(Sampling, *header)


class SampleRows:
    """A folder with a strip of pictures per checkpoint: `base.png`, `step_000200.png`, ….

    Each strip is lossless, at full size, and says in its header how it was sampled: a strip made
    with other prompts or settings is not mixed into the grid.

    Args:
        folder: Where the strips are.
        settings: What the pictures depend on besides the weights; anything JSON can hold.
        tiles: Pictures in a strip.
        within: The folder that strips must lie in to be read, links followed; None for anywhere.
    """

    def __init__(
        self, folder: Path, settings: Mapping[str, Any], tiles: int, within: Path | None = None
    ) -> None:
        self.folder = folder
        self.within = within
        self.settings = json.dumps(settings, sort_keys=True)
        self.tiles = tiles

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
        texts = {_SETTINGS_KEY: self.settings}
        write_png(self._path(step), from_bytes(to_bytes(strip)), texts)

    def rows(self) -> list[GridRow]:
        """Read all rows, see `up_to`."""
        return self.up_to(self.last_step)

    @property
    def last_step(self) -> int:
        """Optimizer steps of the last row; 0 if there is none."""
        return max(self._steps(), default=0)

    def up_to(self, step: int, most: int | None = None) -> list[GridRow]:
        """Read the rows of this run's past.

        Args:
            step: Optimizer steps taken so far. Later rows are of a future that a resumed run has
                given up, and are left out.
            most: Of more rows than this, beside the base's, as many are read: the first, the last,
                and others evenly between them. Two or more; None for all.

        Returns:
            The base's row, if it is there, and then the others in order of steps.
        """
        rows = []
        for path in (self._path(None), *_spread([*self._steps(step).values()], most)):
            tiles = self._read(path)
            if tiles is not None:
                rows.append(GridRow(step_name(path.stem), tiles))
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
        for path in (old._path(None), *old._steps(step).values()):
            is_there = path.is_file() and lies_within(path, folder)
            if is_there and not (self.folder / path.name).exists():
                with replaced_atomically(self.folder / path.name) as temporary:
                    shutil.copyfile(path, temporary)

    def _path(self, step: int | None) -> Path:
        return self.folder / f"{BASE_LABEL if step is None else step_label(step)}.png"

    def _steps(self, last: float = math.inf) -> dict[int, Path]:
        return {step: path for step, path in by_step(self.folder, ".png").items() if step <= last}

    def _read(self, path: Path) -> list[Image.Image] | None:
        if not _is_to_be_read(path, self.within):
            return None
        strip = read_png(path)
        if strip.info.get(_SETTINGS_KEY) != self.settings:
            return None
        width = strip.width // self.tiles
        if not width:
            raise ValueError(f"{path} is too narrow for the {self.tiles} pictures it names.")
        boxes = [(i * width, 0, (i + 1) * width, strip.height) for i in range(self.tiles)]
        return [strip.crop(box) for box in boxes]


def _is_to_be_read(path: Path, within: Path | None) -> bool:
    return path.is_file() and (within is None or lies_within(path, within))


def _latest_header(samples: Path, within: Path | None = None) -> tuple[str, Path] | None:
    folder = rows_folder(samples)
    for path in (*reversed(by_step(folder, ".png").values()), folder / f"{BASE_LABEL}.png"):
        is_read = _is_to_be_read(path, within)
        header = read_png(path).info.get(_SETTINGS_KEY) if is_read else None
        if header is not None:
            return header, path
    return None


def _spread(paths: Sequence[Path], most: int | None) -> Sequence[Path]:
    if most is None or len(paths) <= most:
        return paths
    return [paths[round(number * (len(paths) - 1) / (most - 1))] for number in range(most)]
