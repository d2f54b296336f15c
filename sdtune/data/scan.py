"""Everything there is to know of a folder of pictures, read once: pictures, captions, problems."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sdtune.data.captions import CAPTION_SUFFIXES, METADATA_NAMES, read_captions
from sdtune.data.decoding import IMAGE_SUFFIXES
from sdtune.data.image_folder import list_files
from sdtune.data.manifest import Manifest
from sdtune.data.pictures import Picture

__all__ = ["Scan", "scan_folder", "scan_pictures"]


@dataclass(frozen=True)
class Scan:
    """A folder of pictures as it was found.

    Attributes:
        pictures: The pictures that open and have a caption, sorted by name.
        problems: A line for each picture or caption that cannot be used: a path, what is wrong
            with it, and what to do.
        passed_over: Files that are neither pictures nor captions.
    """

    pictures: Sequence[Picture] = ()
    problems: Sequence[str] = ()
    passed_over: Sequence[Path] = field(default=(), compare=False)

    def passed_over_line(self) -> str:
        """Say which files were passed over because of their suffix; empty if there are none."""
        if not self.passed_over:
            return ""
        kinds = Counter(path.suffix.lower() or "no suffix" for path in self.passed_over)
        listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(5))
        return (
            f"{len(self.passed_over)} files are neither pictures nor captions and are passed over "
            f"({listed}), such as {self.passed_over[0]}."
        )


def scan_folder(
    folder: str | Path, caption: str | None = None, cache_dir: str | Path | None = None
) -> Scan:
    """Read a folder of pictures and everything that is wrong with it.

    Args:
        folder: Folder with pictures, at any depth.
        caption: The caption of every picture; None reads one for each, see `read_captions`.
        cache_dir: Where what is known of the files is kept, see `Manifest`.

    Returns:
        What was found. What is known of a file is found once, as long as it does not change.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return Scan(
            problems=[f"{folder}: there is no such folder; name the one with the pictures."]
        )
    files = list_files(folder)
    paths = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    if not paths:
        return Scan(problems=[f"{folder}: holds no pictures; put PNG, JPEG or WebP files into it."])
    links = _links_out(folder, paths)
    paths = [path for path in paths if path not in links]
    facts = Manifest(folder, cache_dir).facts(paths)
    problems = [
        f"{path}: is a link out of the folder; copy the picture there." for path in sorted(links)
    ]
    problems += [
        f"{each.problem[:-1]}; save it again as PNG or JPEG, or delete it."
        for each in facts.values()
        if each.problem
    ]
    if caption is None:
        captions, caption_problems = read_captions(folder, paths)
        problems += caption_problems
    else:
        captions = dict.fromkeys(paths, caption)
    pictures = [
        Picture(path, path.relative_to(folder).as_posix(), captions[path], known.size, known.sha256)
        for path, known in facts.items()
        if not known.problem and path in captions
    ]
    meant = {*IMAGE_SUFFIXES, *CAPTION_SUFFIXES}
    passed_over = [
        path
        for path in files
        if path.suffix.lower() not in meant and path.name not in METADATA_NAMES
    ]
    return Scan(pictures, problems, passed_over)


def scan_pictures(
    folder: str | Path, caption: str | None = None
) -> tuple[list[Picture], list[str]]:
    """Read a folder of pictures and everything that is wrong with it, see `scan_folder`."""
    scan = scan_folder(folder, caption)
    return list(scan.pictures), list(scan.problems)


def _links_out(folder: Path, paths: Sequence[Path]) -> set[Path]:
    root = folder.resolve()
    links = (path for path in paths if path.is_symlink())
    return {path for path in links if not path.resolve().is_relative_to(root)}
