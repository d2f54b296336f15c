"""Grids of pictures: checkpoints and strengths, or prompts and seeds, across and down."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from PIL import Image

from sdtune.drawing.settings import PictureSettings
from sdtune.play.studio import Asked, Kept, Studio
from sdtune.run_folder.grid_image import GridRow, draw_grid, sampling_caption

__all__ = ["Grid", "by_checkpoint", "by_prompt", "read_numbers"]

_MOST_PICTURES = 100

_T = TypeVar("_T")


@dataclass(frozen=True)
class Grid:
    """Pictures in columns and rows.

    Attributes:
        settings: Of all pictures, one column after the other: those of one adapter, which can be
            drawn at once, stand together.
        columns: What stands over each column.
        rows: What stands beside each row.
    """

    settings: list[PictureSettings]
    columns: list[str]
    rows: list[str]

    def tiles(self, drawn: Sequence[Kept]) -> list[list[Kept]]:
        """Sort pictures into rows.

        Args:
            drawn: One for each of `settings`.
        """
        count = len(self.rows)
        return [list(drawn[number::count]) for number in range(count)]

    def image(self, drawn: Sequence[Kept]) -> Image.Image:
        """Put pictures together, with what stands over and beside them.

        Args:
            drawn: One for each of `settings`.

        Returns:
            An RGB picture on a light ground.
        """
        rows = [
            GridRow(label, [Image.open(each.path) for each in row])
            for label, row in zip(self.rows, self.tiles(drawn), strict=True)
        ]
        first = self.settings[0]
        seeds = list(dict.fromkeys(each.seed for each in self.settings))
        caption = sampling_caption(first.num_inference_steps, first.guidance_scale, seeds)
        return draw_grid(rows, self.columns, [0], caption)


def by_checkpoint(
    studio: Studio,
    asked: Asked,
    adapter: int,
    checkpoints: Sequence[str],
    strengths: Sequence[float],
) -> Grid:
    """Lay out one prompt and seed: checkpoints of an adapter across, strengths down.

    Args:
        studio: What draws.
        asked: What the page asks for otherwise.
        adapter: Position of the adapter among those that are offered.
        checkpoints: Keys of its checkpoints.
        strengths: Each checkpoint once with each.

    Raises:
        ValueError: If there are none or too many, or a value is wrong.
    """
    _check_count(len(checkpoints), "checkpoint", len(strengths), "strength")

    def settings(checkpoint: str, strength: float) -> PictureSettings:
        return studio.pair(
            replace(
                asked,
                checkpoints=_put(asked.checkpoints, adapter, checkpoint),
                strengths=_put(asked.strengths, adapter, strength),
            )
        ).tuned

    names = studio.offered[adapter].checkpoints
    return Grid(
        [settings(checkpoint, strength) for checkpoint in checkpoints for strength in strengths],
        [names[each].partition(":")[0] for each in checkpoints],
        [f"strength {each:g}" for each in strengths],
    )


def by_prompt(studio: Studio, asked: Asked, prompts: Sequence[str], seeds: Sequence[int]) -> Grid:
    """Lay out pictures of one strength: prompts across, seeds down.

    Args:
        studio: What draws.
        asked: What the page asks for otherwise.
        prompts: What to draw.
        seeds: Each prompt once with each.

    Raises:
        ValueError: If there are none or too many, or a value is wrong.
    """
    _check_count(len(prompts), "prompt", len(seeds), "seed")
    settings = [
        studio.pair(replace(asked, prompt=prompt, seed=seed)).tuned
        for prompt in prompts
        for seed in seeds
    ]
    return Grid(settings, list(prompts), [f"seed {each}" for each in seeds])


def read_numbers(text: str, name: str) -> list[float]:
    """Read numbers that are separated by commas or spaces.

    Args:
        text: Such as `0, 0.5, 1`.
        name: What they are, such as `strengths`, for messages.

    Raises:
        ValueError: If something else stands there.
    """
    found = []
    for word in text.replace(",", " ").split():
        try:
            value = float(word)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ValueError(
                f"Expected {name} to be numbers such as `0, 0.5, 1`, but got `{word}`."
            )
        found.append(value)
    return found


def _put(values: tuple[_T, ...], at: int, value: _T) -> tuple[_T, ...]:
    return (*values[:at], value, *values[at + 1 :])


def _check_count(across: int, column: str, down: int, row: str) -> None:
    if not across or not down:
        missing = column if not across else row
        raise ValueError(f"Expected at least one {missing} for the grid, but there is none.")
    if across * down > _MOST_PICTURES:
        raise ValueError(
            f"Expected at most {_MOST_PICTURES} pictures in a grid, but {across} {column}s and "
            f"{down} {row}s make {across * down}."
        )
