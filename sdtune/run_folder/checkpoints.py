"""The checkpoints that a run is resumed from: the newest, those before it, and their hashes."""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from sdtune.files.atomic_file import sync, sync_and_replace, temporary_sibling
from sdtune.files.confined_path import ConfinedPath
from sdtune.files.json_file import JsonFileError, read_json, write_json
from sdtune.run_folder.layout import CHECKPOINT, step_label, step_of

__all__ = [
    "MANIFEST",
    "Kept",
    "Manifest",
    "damage_of",
    "find_checkpoint",
    "go_on_from",
    "publish",
]

MANIFEST = "manifest.json"
"""What is kept beside the checkpoints, with their hashes."""

VERSION = 1
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Kept:
    """A checkpoint as it was written.

    Attributes:
        step: Optimizer steps.
        sha256: Of its bytes; of a folder's, of all names and bytes in it.
        events: TensorBoard's files -> their length in bytes when all up to this step was in them.
    """

    step: int
    sha256: str
    events: Mapping[ConfinedPath, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """What a folder of checkpoints holds, the newest first.

    It is written before a checkpoint gets its name, and before one that is too many is deleted, so
    it may name some that are not there. A file is known by its hash and not by its name.

    Attributes:
        version: Of this file's form.
        checkpoints: What is there.
        job: The job of a cluster, and its call, that wrote it last, if it was one: see
            `sdtune.run_folder.slurm_job`.
    """

    version: int
    checkpoints: list[Kept]
    job: str = ""

    @classmethod
    def load(cls, folder: Path) -> Manifest | None:
        """Read it; None if there is none, or it is damaged."""
        try:
            return read_json(cls, folder / MANIFEST, VERSION)
        except (FileNotFoundError, JsonFileError):
            return None

    def entry(self, digest: str) -> Kept | None:
        """Find a checkpoint by its hash."""
        return next((each for each in self.checkpoints if each.sha256 == digest), None)


def publish(
    temporary: Path,
    path: Path,
    kept: Sequence[Kept],
    *,
    step: int,
    events: Mapping[str, int],
    keep_last: int,
    job: str = "",
) -> list[Kept]:
    """Give a checkpoint its name, keep those before it, and write what there is.

    A crash at any moment leaves a checkpoint that `find_checkpoint` finds. Others that the manifest
    lists are deleted; what it does not is somebody else's.

    Args:
        temporary: The checkpoint, whole, in the folder of `path`.
        path: Its name, `last.ckpt`.
        kept: What this run has written before, the newest first; that has the name `path`.
        step: Optimizer steps.
        events: TensorBoard's files -> their lengths.
        keep_last: How many checkpoints stay, this one included.
        job: The job of a cluster and its call that this is, if it is one.

    Returns:
        What is there now, the newest first.
    """
    folder = path.parent
    whole = [Kept(step, _digest(temporary), dict(events)), *kept]
    now, spare = whole[:keep_last], whole[keep_last:]
    # those too many are listed until they are deleted, or a kill in between would leave them there
    write_json(folder / MANIFEST, asdict(Manifest(VERSION, whole, job)))
    if kept and keep_last > 1 and path.exists():
        _keep(path, folder / _name(kept[0]))
    _give_name(temporary, path)
    for each in spare:
        _remove(folder / _name(each))
    return now


def go_on_from(
    path: Path, folder: Path, step: int, events: Callable[[], Mapping[str, int]], keep_last: int
) -> list[Kept]:
    """Make a checkpoint the newest of its run, and give up what came after it.

    A crash at any moment leaves a checkpoint that `find_checkpoint` finds: this one, when any
    other that is newer is gone. Too many older ones, which a killed process did not come to, are
    deleted as well, and none that the manifest does not list.

    Args:
        path: The checkpoint, which is not damaged. It stays where it is, too.
        folder: The folder of the run's checkpoints; one of another callback's may lie elsewhere.
        step: Its optimizer steps.
        events: Called for the lengths of TensorBoard's files at it, if the manifest has none.
        keep_last: How many checkpoints stay, this one included.

    Returns:
        What is there now, the newest first, with this one at the head.
    """
    digest, last = _digest(path), folder / CHECKPOINT.name
    manifest = Manifest.load(folder) or Manifest(VERSION, [])
    entry = manifest.entry(digest) or Kept(step, digest, dict(events()))
    others = [each for each in manifest.checkpoints if each != entry]
    there = {each.name for each in _older(folder)}
    older = [each for each in others if each.step < entry.step and _name(each) in there]
    kept = [entry, *older][:keep_last]
    write_json(folder / MANIFEST, asdict(replace(manifest, checkpoints=[entry, *others])))
    if path != last:
        temporary = temporary_sibling(last)
        _copy(path, temporary)
        _give_name(temporary, last)
    for each in others:
        if each not in kept and folder / _name(each) != path:
            _remove(folder / _name(each))
    write_json(folder / MANIFEST, asdict(replace(manifest, checkpoints=kept)))
    return kept


def find_checkpoint(folder: Path) -> tuple[Path | None, list[str]]:
    """Find the newest good checkpoint of a run.

    Args:
        folder: The folder of its checkpoints.

    Returns:
        The checkpoint, None if there is no good one; and what is wrong with those that are newer,
        a sentence each.
    """
    problems: list[str] = []
    for path in (folder / CHECKPOINT.name, *reversed([*_older(folder)])):
        if not path.exists():
            continue
        problem = damage_of(path)
        if problem is None:
            return path, problems
        problems.append(problem)
    return None, problems


def damage_of(path: Path) -> str | None:
    """Say what is wrong with a checkpoint's bytes.

    Args:
        path: The checkpoint. The manifest knows those that have names of ours.

    Returns:
        A sentence; None if they are those that were written.
    """
    damaged = f"Expected {path} to be as it was written, but its bytes have changed"
    manifest = Manifest.load(path.parent)
    if path.stem != CHECKPOINT.stem and step_of(path.stem) is None:
        manifest = None  # a copy under a name of somebody's own, which may be older than it
    if manifest is not None and manifest.entry(_digest(path)) is None:
        return f"{damaged}: {path.parent / MANIFEST} knows another hash."
    if manifest is None and path.is_file() and not _has_good_sums(path):
        return f"{damaged}: it is cut off, or a checksum in it is wrong."
    return None


def _give_name(temporary: Path, path: Path) -> None:
    """Rename a checkpoint over another."""
    if path.is_dir():  # no folder can be renamed over another
        shutil.rmtree(path, ignore_errors=True)
    if temporary.is_dir():
        os.replace(temporary, path)
        sync(path.parent)
    else:
        sync_and_replace(temporary, path)


def _copy(path: Path, other: Path) -> None:
    """Give a checkpoint a second name, or copy it where that cannot be."""
    if not _link(path, other):
        (shutil.copytree if path.is_dir() else shutil.copyfile)(path, other)


def _keep(path: Path, older: Path) -> None:
    """Give the newest checkpoint the name of its step too, or instead where that cannot be."""
    _remove(older)
    if not _link(path, older):
        os.replace(path, older)


def _link(path: Path, other: Path) -> bool:
    """Give a file a second name; False for a folder, or where a file system has none."""
    if path.is_dir():
        return False
    try:
        os.link(path, other)
    except OSError:
        return False
    return True


def _name(older: Kept) -> str:
    """Name one that is not the newest any more."""
    return f"{step_label(older.step)}{CHECKPOINT.suffix}"


def _older(folder: Path) -> Iterator[Path]:
    """Yield the checkpoints that are named by their steps, the oldest first."""
    found = ((step_of(path.stem), path) for path in folder.glob(f"*{CHECKPOINT.suffix}"))
    yield from (path for step, path in sorted(each for each in found if each[0] is not None))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _digest(path: Path) -> str:
    """Hash a file, or all files of a folder with their names."""
    total = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if not file.is_file():
            continue
        if file != path:
            total.update(f"{file.relative_to(path).as_posix()}\0".encode())
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                total.update(chunk)
    return total.hexdigest()


def _has_good_sums(path: Path) -> bool:
    """Check the sums that torch writes and does not read, of a checkpoint without a manifest."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError):
        return False
