"""What a run reads besides its recipe: pictures, captions, a base and an adapter, as they are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from sdtune.adapters.pipeline import find_adapter_files
from sdtune.data.pictures import Picture
from sdtune.evaluation.base_pictures import base_fingerprint
from sdtune.evaluation.training_set import TrainingSet
from sdtune.files.folder_tree import files_below
from sdtune.models.loading import NANO, load

__all__ = ["RunInputs", "base_hash", "read_inputs"]


@dataclass(frozen=True)
class RunInputs:
    """What a run would read if it began now.

    Attributes:
        digest: Hash of all of it.
        base: The base, as the recipe calls it; empty if the recipe has none.
        pictures: Hash of what is trained on, as `training_pictures` of evaluation.json has it;
            empty if that is not known.
        count: Pictures that are trained on.
    """

    digest: str
    base: str = ""
    pictures: str = ""
    count: int = 0


def read_inputs(data: Any, arguments: Mapping[str, Any]) -> RunInputs:
    """Look at what a run would read. No weights are read.

    Files of weights are known by their sizes and times. What a base draws, what is composed and
    captions that are made follow from the rest. An id on a hub is a name, and part of the recipe.

    Args:
        data: The data module, found to be without problems.
        arguments: The model's, such as `base`.

    Returns:
        What was found.
    """
    sets: Sequence[Sequence[Picture]] = getattr(data, "sets_at_hand", tuple)()
    said = [[list(_words(each)) for each in pictures] for pictures in sets]
    states = [list(_states(path)) for path in _weights(arguments)]
    digest = sha256(json.dumps([said, states]).encode(errors="surrogateescape")).hexdigest()
    trained = sets[0] if sets else ()
    pictures = TrainingSet(trained).describe().sha256 if len(trained) > 1 else ""
    return RunInputs(digest, str(arguments.get("base") or ""), pictures, len(trained))


def base_hash(base: str) -> str:
    """Hash a base's weights, as evaluation.json has them. They are loaded.

    Args:
        base: The base.

    Raises:
        ValueError: If it cannot be loaded.
    """
    return base_fingerprint(load(base))


def _words(picture: Picture) -> Iterator[Any]:
    """Yield what matters of a picture: its file, its name, and what is said of it."""
    yield from (picture.name, picture.repeats, *TrainingSet.hashes([picture]))
    yield list(picture.captions)
    yield None if picture.mask is None else sha256(picture.mask.read_bytes()).hexdigest()


def _weights(arguments: Mapping[str, Any]) -> Iterator[Path]:
    base, adapter = arguments.get("base"), arguments.get("adapter")
    if base and base != NANO and Path(base).exists():
        yield Path(base)
    if adapter and Path(adapter).exists():
        yield from find_adapter_files(Path(adapter))


def _states(path: Path) -> Iterator[tuple[str, int, int]]:
    """Yield name, bytes and time of a file, or of each below a folder."""
    for each in files_below(path):
        status = each.stat()
        yield each.relative_to(path).as_posix(), status.st_size, status.st_mtime_ns
