"""What lies in a run's folder and is not read: links that lead out of it, pipes, devices."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from sdtune.files.confined_path import links_out_of
from sdtune.files.regular_file import special_kind
from sdtune.run_folder.layout import CHECKPOINT

__all__ = ["NotRead", "find_not_read"]


@dataclass(frozen=True)
class NotRead:
    """What is not read of a run's folder.

    Attributes:
        links: Those that lead out of it, if these are not to be followed.
        specials: Pipes, sockets and devices.
        problems: What is left out, a sentence each.
    """

    links: Sequence[Path] = ()
    specials: Sequence[Path] = ()
    problems: Sequence[str] = ()

    def holds(self, path: Path) -> bool:
        """Tell whether a path in the run's folder is left out."""
        return any(path.is_relative_to(each) for each in (*self.links, *self.specials))

    def has_links_in(self, folder: Path, apart_from: Collection[str] = ()) -> bool:
        """Tell whether a folder has links in it that are left out, at any depth.

        Args:
            folder: In the run's folder.
            apart_from: Names in it that are not looked into.
        """
        below = [each.relative_to(folder) for each in self.links if each.is_relative_to(folder)]
        return any(each.parts and each.parts[0] not in apart_from for each in below)


def find_not_read(folder: Path, *, follow: bool) -> NotRead:
    """Look through a run's folder, but for its checkpoints, of which no page shows more than names.

    Args:
        folder: The folder, which may itself be a link.
        follow: Whether links that lead out of it are followed.

    Returns:
        What is not read.
    """
    names = [each.name for each in folder.iterdir() if each.name != CHECKPOINT.parent.name]
    links = [] if follow else links_out_of(folder, sorted(names))
    problems = [
        f"{link} is a link that leads out of the run's folder, and is left out." for link in links
    ]
    kinds = {path: special_kind(path) for path in _entries(folder, names) if path not in links}
    specials = [path for path, kind in kinds.items() if kind]
    problems += [f"{path} is {kinds[path]} and no file, and is not opened." for path in specials]
    return NotRead(links, specials, problems)


def _entries(folder: Path, names: Sequence[str]) -> list[Path]:
    found = sorted(folder / name for name in names)
    for top in [each for each in found if each.is_dir() and not each.is_symlink()]:
        for where, folders, files in os.walk(top):
            folders.sort()
            found += [Path(where, name) for name in sorted(files)]
    return found
