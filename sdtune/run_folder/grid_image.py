"""Drawing a sample grid: prompts across, checkpoints down, the untuned base on top."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from PIL import Image, ImageDraw, ImageFont

from sdtune._wording import counted

__all__ = ["GridRow", "draw_grid", "sampling_caption"]

_SMALLEST_TILE, _LARGEST_TILE = 128, 320  # pixels: readable at 64 px, and a file to send at 1024
_MARGIN, _GAP, _GROUP_GAP = 20, 4, 14
_HEADER_LINES = 4
_PAPER, _INK, _FAINT = (252, 252, 250), (34, 34, 34), (128, 128, 124)
_FRAME = (214, 214, 208)

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class GridRow:
    """The pictures of one checkpoint.

    Attributes:
        label: What stands at the left, such as `base` or `step 200`.
        tiles: One picture per prompt and seed, the seeds of a prompt side by side; all of one
            size.
    """

    label: str
    tiles: Sequence[Image.Image]


def draw_grid(
    rows: Sequence[GridRow], prompts: Sequence[str], seeds: Sequence[int], caption: str = ""
) -> Image.Image:
    """Draw rows of pictures under their prompts.

    Small pictures are enlarged by a whole factor to at least 128 px, large ones reduced to at
    most 320 px. Prompts are wrapped to their column, and cut after four lines.

    Args:
        rows: At least one, each with `len(prompts) * len(seeds)` tiles.
        prompts: Column headers.
        seeds: The seeds of the tiles under each prompt; named in the caption's stead when there
            are several.
        caption: A line under the grid.

    Returns:
        An RGB picture on a light ground.

    Raises:
        ValueError: If a row has another number of tiles.
    """
    _check_rows(rows, len(prompts) * len(seeds))
    size = _tile_size(rows[0].tiles[0].size)
    label_font, text_font = _font(15), _font(13)
    group = len(seeds) * size[0] + (len(seeds) - 1) * _GAP
    headers = [_wrap(prompt, text_font, group) for prompt in prompts]
    header_height = max(len(lines) for lines in headers) * _line(text_font) + 8
    label_width = ceil(max(label_font.getlength(row.label) for row in rows)) + _GROUP_GAP
    left, top = _MARGIN + label_width, _MARGIN + header_height
    width = left + len(prompts) * (group + _GROUP_GAP) - _GROUP_GAP + _MARGIN
    height = top + len(rows) * (size[1] + _GAP) - _GAP + _MARGIN
    height += _line(text_font) + 6 if caption else 0

    grid = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(grid)
    for column, lines in enumerate(headers):
        x = left + column * (group + _GROUP_GAP)
        y = top - 8 - len(lines) * _line(text_font)  # the last lines stand on the pictures
        for number, line in enumerate(lines):
            draw.text((x, y + number * _line(text_font)), line, _INK, text_font)
    for number, row in enumerate(rows):
        y = top + number * (size[1] + _GAP)
        at = (left - _GROUP_GAP, y + size[1] // 2)
        draw.text(at, row.label, _INK if number else _FAINT, label_font, anchor="rm")
        for index, tile in enumerate(row.tiles):
            column, seed = divmod(index, len(seeds))
            x = left + column * (group + _GROUP_GAP) + seed * (size[0] + _GAP)
            grid.paste(_resize(tile.convert("RGB"), size), (x, y))
            draw.rectangle((x - 1, y - 1, x + size[0], y + size[1]), outline=_FRAME)
    if caption:
        foot = height - _MARGIN
        draw.text((left, foot), caption, _FAINT, text_font, anchor="ls")
    return grid


def sampling_caption(num_inference_steps: int, guidance_scale: float, seeds: Sequence[int]) -> str:
    """Say how pictures were sampled, such as `25 steps, guidance 7.5, seeds 0, 1`.

    Args:
        num_inference_steps: Steps of the sampler.
        guidance_scale: Strength of classifier-free guidance.
        seeds: The seeds.
    """
    name = "seed" if len(seeds) == 1 else "seeds"
    listed = ", ".join(map(str, seeds))
    return f"{counted(num_inference_steps, 'step')}, guidance {guidance_scale:g}, {name} {listed}"


def _check_rows(rows: Sequence[GridRow], tiles: int) -> None:
    if not rows:
        raise ValueError("Expected `rows` to hold at least one row, but got none.")
    for row in rows:
        if len(row.tiles) != tiles:
            raise ValueError(
                f"Expected row `{row.label}` to have a tile per prompt and seed, {tiles}, but "
                f"got {len(row.tiles)}."
            )


def _tile_size(size: tuple[int, int]) -> tuple[int, int]:
    enlarged = ceil(_SMALLEST_TILE / max(size))  # 1 if it is large enough
    factor = min(enlarged, _LARGEST_TILE / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _resize(tile: Image.Image, size: tuple[int, int]) -> Image.Image:
    return tile if tile.size == size else tile.resize(size, Image.Resampling.LANCZOS)


def _font(size: int) -> _Font:
    return ImageFont.load_default(size)


def _line(font: _Font) -> int:
    top, bottom = font.getbbox("Ágjy")[1::2]
    return ceil(bottom - top) + 4


def _wrap(text: str, font: _Font, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    is_cut = len(lines) > _HEADER_LINES
    lines = [_shorten(line, font, width) for line in lines[:_HEADER_LINES]]
    if is_cut:
        lines[-1] = _shorten(f"{lines[-1].removesuffix('…')}…", font, width)
    return lines


def _shorten(line: str, font: _Font, width: int) -> str:
    if font.getlength(line) <= width:
        return line
    line = line.removesuffix("…")
    while line and font.getlength(f"{line}…") > width:
        line = line[:-1]
    return f"{line}…"
