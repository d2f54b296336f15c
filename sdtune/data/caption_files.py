"""Caption files beside the pictures of a folder, written by a captioner."""

from __future__ import annotations

import errno
import os
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from sdtune.captioning.captioner import Captioner
from sdtune.data.captions import CAPTION_SUFFIXES, read_metadata
from sdtune.data.decoding import PictureError, header_size, read_part
from sdtune.data.image_folder import find_files, find_pictures
from sdtune.data.masks import masks_of
from sdtune.data.metadata_rows import unread_metadata
from sdtune.data.same_name import ByName
from sdtune.data.sources.folder import folder_links, links_out, no_pictures, no_such_folder
from sdtune.data.sources.registry import choose_source
from sdtune.files.atomic_file import replaced_atomically
from sdtune.files.text_file import read_text

__all__ = [
    "CaptionedFolder",
    "caption_folder",
    "folder_problems",
    "open_picture",
    "write_caption",
]

# captioners look at 224 to 448 pixels: memory and time of a photo's further ones are saved
_LONGEST_SIDE = 1024

# what keeps all files from being written, and not one
_NO_ROOM = (errno.ENOSPC, errno.EROFS, errno.EDQUOT)

_READ_BESIDE = ("folder", "kohya")


@dataclass
class CaptionedFolder:
    """What became of a folder.

    Attributes:
        written: Caption file -> its caption, in the order of the pictures.
        kept: Pictures that had a caption, and keep it.
        problems: A line for each picture that has no caption now: its path, why, and what to do.
    """

    written: dict[Path, str] = field(default_factory=dict)
    kept: int = 0
    problems: list[str] = field(default_factory=list)


def folder_problems(folder: Path, caption_column: str | None = None) -> list[str]:
    """Say why captions beside the pictures of a folder would be of no use, in lines or none.

    Args:
        folder: The folder.
        caption_column: What its metadata call a caption; None is `text`.
    """
    if not folder.is_dir():
        return [str(no_such_folder(str(folder)))]
    choice = choose_source(str(folder))
    if choice is not None and choice.source.name not in _READ_BESIDE:
        return [
            f"{folder}: is read as {choice.source.title}, which has captions of its own; files "
            "beside pictures are read in plain folders and kohya's alone."
        ]
    if not find_pictures(folder):
        linked, _ = folder_links(folder)
        return [str(each) for each in (no_pictures(folder), *linked)]
    return [str(each) for each in unread_metadata(folder, _pictures_of(folder), caption_column)]


def caption_folder(
    folder: Path,
    captioner: Captioner,
    *,
    overwrite: bool = False,
    batch_size: int = 8,
    caption_column: str | None = None,
) -> CaptionedFolder:
    """Write a caption file beside each picture that has no caption.

    A picture whose caption is in the folder's metadata keeps it, for the two would disagree. Files
    are written batch by batch, so that what was done is there when it is interrupted, and another
    call goes on. Masks and links out of the folder are no pictures here.

    Args:
        folder: The folder; pictures at any depth.
        captioner: What describes them.
        overwrite: Whether captions beside the pictures are replaced.
        batch_size: Pictures that are described at once.
        caption_column: What the folder's metadata call a caption; None is `text`. See
            `folder_problems` for metadata of which this is not true.

    Returns:
        What was written, and what could not be.

    Raises:
        OSError: If nothing more can be written: the disk is full, or may only be read.
    """
    done = CaptionedFolder()
    jobs = list(_jobs(folder, overwrite, caption_column, done))
    batches = [jobs[first : first + batch_size] for first in range(0, len(jobs), batch_size)]
    with (
        ThreadPoolExecutor(max_workers=os.cpu_count()) as pool,
        tqdm(total=len(jobs), desc="Captions", unit="", disable=None) as progress,
    ):
        for batch in batches:
            opened = list(pool.map(open_picture, [picture for picture, _ in batch]))
            images = [each for each in opened if isinstance(each, Image.Image)]
            captions = iter(captioner.describe(images) if images else [])
            for (picture, path), found in zip(batch, opened, strict=True):
                if isinstance(found, str):
                    done.problems.append(found)
                elif caption := " ".join(next(captions).split()):
                    _write(path, caption, done)
                else:
                    done.problems.append(
                        f"{picture}: nothing is found in it; write a caption, or lower the "
                        "threshold."
                    )
            progress.update(len(batch))
    return done


def _write(path: Path, caption: str, done: CaptionedFolder) -> None:
    try:
        write_caption(path, caption)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise
        done.problems.append(
            f"{path}: cannot be written ({error.strerror}); allow it, or rename the picture, and "
            "call again."
        )
    else:
        done.written[path] = caption


def _pictures_of(folder: Path) -> list[Path]:
    paths = find_pictures(folder)
    left_out = {*masks_of(paths).values(), *links_out(folder, paths)}
    return [path for path in paths if path not in left_out]


def _jobs(
    folder: Path, overwrite: bool, caption_column: str | None, done: CaptionedFolder
) -> Iterator[tuple[Path, Path]]:
    """Give each picture that is to be described, and the file for its caption."""
    pictures = _pictures_of(folder)
    in_metadata = read_metadata(folder, pictures, caption_column)
    of_stem = ByName((picture.with_suffix(""), picture) for picture in pictures)
    captions = defaultdict(list)
    for path in find_files(folder, CAPTION_SUFFIXES):  # as training finds them
        for picture in of_stem.get(path.with_suffix("")):
            captions[picture].append(path)
    for picture in pictures:
        same = of_stem.get(picture.with_suffix(""))
        there = sorted(captions[picture], key=_by_suffix)
        beside = [path for path in there if not _is_empty(path, folder)]
        if picture in in_metadata or (beside and not overwrite):
            done.kept += 1
        elif len(same) > 1:
            others = ", ".join(each.name for each in same if each != picture)
            done.problems.append(
                f"{picture}: shares the name of its caption file with {others}; rename one."
            )
        elif len(beside) > 1:
            names = " and ".join(each.name for each in beside)
            done.problems.append(f"{picture}: has the captions {names}; delete one of them.")
        else:
            # an empty one that stayed would be a problem of training
            usual = picture.with_suffix(CAPTION_SUFFIXES[0])
            yield picture, next(iter([*beside, *there]), usual)


def _by_suffix(path: Path) -> tuple[int, str]:
    return CAPTION_SUFFIXES.index(path.suffix.lower()), path.name


def _is_empty(path: Path, folder: Path) -> bool:
    try:
        return not read_text(path, folder).strip()
    except (OSError, UnicodeDecodeError):
        return False  # whatever it is, it is not ours to replace


def open_picture(path: Path) -> Image.Image | str:
    """Open a picture for a captioner.

    Args:
        path: The file.

    Returns:
        An RGB picture of 1024 pixels at most on its longer side; or a sentence on what is wrong.
    """
    try:
        width, height = header_size(path)
        scale = min(1.0, _LONGEST_SIDE / max(width, height))
        target = (max(1, round(width * scale)), max(1, round(height * scale)))
        return read_part(path, target, (0, 0, width, height))
    except PictureError as error:
        return f"{str(error).removesuffix('.')}; save it again as PNG or JPEG, or delete it."


def write_caption(path: Path, caption: str) -> None:
    """Write a caption's file, whole or not at all."""
    with replaced_atomically(path) as temporary:
        temporary.write_text(caption + "\n", encoding="utf-8")
