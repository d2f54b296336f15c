"""A page of training pictures as training sees them, before anything is trained."""

from __future__ import annotations

import base64
import io
import os
from collections import defaultdict
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from sdtune._wording import counted
from sdtune.data.buckets import Size
from sdtune.data.decoding import PictureError, read_part
from sdtune.data.pictures import Picture
from sdtune.data.survey import Survey
from sdtune.data.survey_words import percent_kept, survey_lines
from sdtune.data.transforms import Box, crop_box
from sdtune.files.printable_text import printable
from sdtune.report.data import bucket_table
from sdtune.report.page import write_page
from sdtune.report.table import Table

__all__ = ["SHOWN", "Tile", "make_tile", "shown_positions", "write_contact_sheet"]

SHOWN = 400
"""Pictures of a page, which then has about 4 MB."""

_SIDE = 240  # pixels
_CAPTION = 300  # characters


@dataclass(frozen=True)
class Tile:
    """A picture of the page.

    Attributes:
        name: Its path below the folder of the data set.
        source: A small JPEG as a `data:` address; empty if the file is gone.
        width: The JPEG's, in pixels.
        height: Likewise.
        frame: Where the crop lies, as CSS.
        size: Width and height of the file, such as `890x490`.
        bucket: Width and height in which it is trained.
        kept: Share of its pixels that the crop leaves.
        caption: What is said of it, cut where it is very long.
        marks: What there is to know of it, a sentence each.
    """

    name: str
    source: str
    width: int
    height: int
    frame: str
    size: str
    bucket: str
    kept: str
    caption: str
    marks: Sequence[str]


@dataclass(frozen=True)
class _Part:
    """Pictures of one kind."""

    title: str
    table: Table
    shown: str
    tiles: Sequence[Tile]


def write_contact_sheet(survey: Survey, path: Path, most: int = SHOWN) -> Path:
    """Write the page: one file that opens offline.

    Args:
        survey: Pictures that were looked over, at least one.
        path: Where the page goes; an existing one is replaced.
        most: How many pictures it shows; of class pictures half as many.

    Returns:
        `path`.
    """
    summary, *others = survey_lines(survey, most=0)
    parts = [_part("The pictures", survey, most)]
    if survey.of_class is not None:
        parts.append(_part("Class pictures", survey.of_class, most // 2))
    return write_page(
        "contact_sheet.html",
        path,
        title=counted(len(survey.pictures), "picture"),
        summary=_sentence(summary),
        notices=[_sentence(line) for line in others if not line.startswith(" ")],
        parts=parts,
    )


def _part(title: str, survey: Survey, most: int) -> _Part:
    marks: dict[int, list[str]] = defaultdict(list)
    for each in survey.marks:
        marks[each.position].append(_encodable(each.text))
    positions = shown_positions(len(survey.pictures), marks, most)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:  # decoders let others run
        tiles = list(pool.map(lambda each: make_tile(survey, each, marks[each]), positions))
    said = _shown(len(positions), len(survey.pictures), len(marks))
    return _Part(title, bucket_table(survey.buckets), said, tiles)


def shown_positions(count: int, marked: Collection[int], most: int) -> list[int]:
    """Choose the pictures of a page: all, or the marked ones first and others spread over the set.

    Args:
        count: How many there are.
        marked: Places of those that there is something to know of.
        most: How many are shown.

    Returns:
        Their places; those that are marked come first.
    """
    first = sorted(marked)[:most]
    taken = set(first)
    others = [each for each in range(count) if each not in taken]
    room = min(most - len(first), len(others))
    return first + [others[number * len(others) // room] for number in range(room)]


def make_tile(survey: Survey, position: int, marks: Sequence[str]) -> Tile:
    """Make a picture's tile.

    Args:
        survey: The survey.
        position: Which picture.
        marks: What there is to know of it.

    Returns:
        The tile; without a picture if the file cannot be read any more.
    """
    picture, target = survey.pictures[position], survey.targets[position]
    width, height = _thumbnail_size(picture.size)
    caption = printable(" | ".join(picture.captions))
    return Tile(
        name=_encodable(picture.name),
        source=_thumbnail(picture, (width, height)),
        width=width,
        height=height,
        frame=_frame(picture.size, crop_box(picture.size, target)),
        size=f"{picture.size[0]}x{picture.size[1]}",
        bucket=f"{target[0]}x{target[1]}",
        kept=percent_kept(survey.kept[position]),
        caption=_encodable(caption if len(caption) <= _CAPTION else f"{caption[:_CAPTION]}…"),
        marks=marks,
    )


def _thumbnail_size(size: Size) -> Size:
    scale = min(1.0, _SIDE / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _thumbnail(picture: Picture, size: Size) -> str:
    data = io.BytesIO()
    try:
        image: Image.Image = read_part(picture.path, size, (0, 0, *picture.size))
    except (PictureError, OSError):
        return ""
    image.save(data, format="JPEG", quality=80, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode('ascii')}"


def _frame(size: Size, box: Box) -> str:
    """Place the crop in per cent of the picture."""
    (width, height), (left, top, right, bottom) = size, box
    sides = {"left": left / width, "top": top / height}
    sides |= {"right": 1 - right / width, "bottom": 1 - bottom / height}
    return "; ".join(f"{name}: {max(0.0, share) * 100:.2f}%" for name, share in sides.items())


def _shown(shown: int, count: int, marked: int) -> str:
    if shown == count:
        return "All of them; those that there is something to know of come first."
    left_out = f"{shown:,} of {count:,}, {count - shown:,} are left out"
    if marked > shown:
        return (
            f"{left_out}: those shown are the first of {marked:,} that there is something to know "
            "of; `sdtune check` names all of these."
        )
    return (
        f"{left_out}: those that there is something to know of come first, the others are spread "
        "over the set."
    )


def _sentence(line: str) -> str:
    text = _encodable(line.removeprefix("data: ").rstrip(":")).replace(" %", "\N{NO-BREAK SPACE}%")
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith(".") else ".")


def _encodable(text: str) -> str:
    """Write a name of a file that is no UTF-8 so that a page can hold it."""
    return text.encode("utf-8", "replace").decode("utf-8")
