"""Adapters as they were given to draw with: where they are, what they are, and their hash."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sdtune._prompt_fields import PromptFields
from sdtune.adapters.adapter_files import adapter_sha256, trained_number, trained_steps
from sdtune.adapters.inspection import file_hashes
from sdtune.adapters.pipeline import find_adapter_files
from sdtune.adapters.registry import made_for, recognise
from sdtune.drawing.settings import UsedAdapter
from sdtune.files.confined_path import is_confined, lies_within
from sdtune.files.tensor_file import is_ours
from sdtune.run_folder.layout import ADAPTER, BEST, RunFolder, by_step, step_label, step_of

__all__ = [
    "AdapterSource",
    "adapter_source",
    "checkpoint_folder",
    "checkpoint_step",
    "checkpoints",
    "find_recorded",
    "relative_path",
]

_PLAIN = ("best", "last")
_NOT_IN_A_NAME = re.compile(r"[:<>,\s]+")
_FIELDS = "sdtune.prompt_fields"


@dataclass(frozen=True)
class AdapterSource:
    """An adapter that pictures can be drawn with.

    Attributes:
        path: What was given, or the folder of a run's checkpoint.
        files: Its files, in the order in which they are loaded.
        name: What it is called in A1111's prompts.
        sha256: As in `UsedAdapter`.
        metadata: Strings of its header.
    """

    path: Path
    files: tuple[Path, ...]
    name: str
    sha256: str
    metadata: Mapping[str, str]

    def used(self, strength: float = 1.0) -> UsedAdapter:
        """Name it in a picture's settings."""
        return UsedAdapter(self.name, self.sha256, strength, relative_path(self.path))

    def number(self, name: str) -> int:
        """Read a number of its training, such as `clip_skip`; 1 where none is written."""
        return trained_number(self.metadata, name)

    @property
    def fields(self) -> PromptFields:
        """What may stand in braces in a prompt, such as `{subject}`, and what it reads."""
        return PromptFields.from_json(self.metadata.get(_FIELDS, ""))

    @property
    def has_strength(self) -> bool:
        """Whether it can be more or less strong; learned words are there or not."""
        return not all(recognise(each).adapter_type.loads_first for each in self.files)

    @cached_property
    def lora_hash(self) -> str:
        """The hash by which A1111 knows its LoRA; empty if it loads none."""
        form, path = made_for("A1111", self.files[-1])
        if not form.use("A1111", path, self.name).appended or not path.is_file():
            return ""
        return file_hashes(path).get("sshs_model_hash", "")[:12]

    @cached_property
    def words(self) -> dict[str, str]:
        """Words of prompts that are written in another way in A1111 -> what is written there."""
        found: dict[str, str] = {}
        for file in self.files:
            form, path = made_for("A1111", file)
            found |= form.use("A1111", path, self.name).words
        return found


def adapter_source(adapter: str | Path, checkpoint: str | None = None) -> AdapterSource:
    """Find an adapter.

    Args:
        adapter: A file, a folder, or a run folder.
        checkpoint: Of a run: `best`, `last` or a step; None for the best, or the last if none is
            named. Of anything else it is ignored.

    Returns:
        What there is.

    Raises:
        FileNotFoundError: If there is no such adapter or checkpoint.
        ValueError: If it is of no known format.
    """
    path = Path(adapter)
    is_run = RunFolder(path).adapter.is_dir()
    if is_run:
        path = checkpoint_folder(path, checkpoint)
    files = tuple(find_adapter_files(path))
    if path.is_dir():
        files = tuple(map(_as_trained, files))
    name = RunFolder(Path(adapter)).recipe if is_run else _name_of(Path(adapter), files)
    return AdapterSource(
        path=path,
        files=files,
        name=_NOT_IN_A_NAME.sub("_", name),
        sha256=adapter_sha256(files),
        metadata=recognise(files[-1]).metadata(files[-1]),
    )


def checkpoints(run: Path) -> dict[str, Path]:
    """List the checkpoints of a run that can be drawn with.

    Args:
        run: A run folder.

    Returns:
        `best` if one is named, `last`, and `step_000200` and so on -> its folder.
    """
    folder = RunFolder(run)
    found = {BEST: folder.best_adapter} if folder.best_adapter.is_dir() else {}
    found["last"] = folder.adapter
    return found | {step_label(step): path for step, path in by_step(folder.adapter).items()}


def checkpoint_step(folder: Path) -> int | None:
    """Read from a checkpoint's header of which step it is; None if it does not say.

    Args:
        folder: One of `checkpoints`.
    """
    return trained_steps(folder)


def checkpoint_folder(run: Path, checkpoint: str | None) -> Path:
    """Find the folder of a run's checkpoint.

    Args:
        run: A run folder.
        checkpoint: As in `adapter_source`; a step as `200`, `step_200` or `step_000200`.

    Returns:
        The folder.

    Raises:
        FileNotFoundError: If there is none.
    """
    known = checkpoints(run)
    if checkpoint is None:
        return known.get(BEST, known["last"])
    number = step_of(checkpoint) if checkpoint.startswith("step_") else None
    if checkpoint.isdecimal():
        number = int(checkpoint)
    wanted = checkpoint if number is None else step_label(number)
    if wanted not in known:
        names = ", ".join(f"`{each if each in _PLAIN else step_of(each)}`" for each in known)
        raise FileNotFoundError(
            f"Expected `--checkpoint` to be one of {run}, {names}, but got `{checkpoint}`."
        )
    return known[wanted]


def find_recorded(
    used: Sequence[UsedAdapter], given: Iterable[AdapterSource], picture: Path
) -> list[AdapterSource]:
    """Find the adapters of a picture: among those that are given, or where it says that they are.

    A path that it names is looked at only below the current folder, and used only if what is there
    has the hash that it names.

    Args:
        used: What the picture says.
        given: What the caller gave.
        picture: The picture, for messages.

    Returns:
        One for each of `used`.

    Raises:
        ValueError: If one is not found, naming all of these.
    """
    known = {each.sha256: each for each in given}
    found, problems = [], []
    for each in used:
        source = known.get(each.sha256) or _at(each)
        if source is None:
            where = f", for it is not at {each.path}" if each.path else ""
            problems.append(
                f"Expected the adapter `{each.name}` of {picture}, with the hash "
                f"{each.sha256[:10]}, to be given{where}: name its file or run in the call."
            )
        else:
            found.append(source)
    if problems:
        raise ValueError(" ".join(problems))
    return found


def relative_path(path: Path) -> str:
    """Name a path below the current folder; empty if it is elsewhere, which is nobody's business.

    Args:
        path: A file or folder.
    """
    here, there = Path.cwd(), Path(os.path.abspath(path))  # without `..`, and links not followed
    return there.relative_to(here).as_posix() if there.is_relative_to(here) else ""


def _as_trained(path: Path) -> Path:
    """Take kohya's file of a run rather than diffusers'.

    It holds the matrices as they were trained; in the other they are multiplied by alpha / rank,
    which rounds where that is no power of two.
    """
    beside = made_for("A1111", path)[1]
    is_same = beside.is_file() and path.is_file() and is_ours(beside) and is_ours(path)
    return beside if is_same else path


def _at(used: UsedAdapter) -> AdapterSource | None:
    path = Path(used.path)
    if not used.path or not is_confined(used.path) or not lies_within(path, Path.cwd()):
        return None
    try:
        found = adapter_source(path) if path.exists() else None
    except (OSError, ValueError):
        return None
    return found if found is not None and found.sha256 == used.sha256 else None


def _name_of(path: Path, files: Sequence[Path]) -> str:
    """Name an adapter that is no run: by its file, or its folder; `best` says nothing."""
    if path.is_file():
        return path.stem
    folder = path.resolve()
    while folder.name in (ADAPTER, BEST) or step_of(folder.name) is not None:
        folder = folder.parent
    return folder.name if folder == path.resolve() else RunFolder(folder).recipe
