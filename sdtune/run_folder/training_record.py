"""What an adapter was trained by and with, in its header: enough to train it again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sdtune._wording import counted
from sdtune.files.json_file import JsonFileError, parse_json

__all__ = ["RECORD_KEY", "TrainingRecord", "differences", "read_record"]

RECORD_KEY = "sdtune.training"
"""Where a header holds it."""

VERSION = 1
_LARGEST = 1_000_000  # characters; a stranger's may be longer
_LISTED = 5


@dataclass(frozen=True)
class TrainingRecord:
    """What a result depends on. Names of folders and files are in none of it.

    The number of a loader's workers is left out: no bit depends on it.

    Attributes:
        version: Of its form.
        recipe: `model` and `data`, a `class_path` and its `init_args` each, and `trainer`.
        places: Keys that were left out of the recipe, for they name folders or files.
        packages: Package -> version.
        machine: What of the machine can change a rounding, such as the `processor`'s instructions
            and the `device`.
        threads: Of one process, that compute.
        processes: Of the whole run.
        base: Part of the base -> SHA-256 of its weights.
        pictures: SHA-256 over files, captions and repeats of all training pictures; empty if that
            is not known.
        files: A word for each training picture, in order: the beginnings of the hashes of its
            file and of what is said of it. Empty where there are too many.
        class_files: Likewise for class pictures.
        changes: What a resumed run has changed on its way, a sentence each.
    """

    version: int
    recipe: dict[str, Any]
    places: list[str]
    packages: dict[str, str]
    machine: dict[str, str]
    threads: int
    processes: int
    base: dict[str, str]
    pictures: str = ""
    files: list[str] = field(default_factory=list)
    class_files: list[str] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)

    def header(self) -> dict[str, str]:
        """Write it as a string of an adapter's header."""
        return {RECORD_KEY: json.dumps(asdict(self), sort_keys=True, allow_nan=False)}


def read_record(metadata: Mapping[str, str], source: str) -> TrainingRecord:
    """Read it from an adapter's header, which may be anyone's.

    Args:
        metadata: The header.
        source: The file, for errors.

    Returns:
        The record.

    Raises:
        ValueError: If there is none, or it is not what it should be; with all that is wrong.
    """
    text = metadata.get(RECORD_KEY)
    if text is None:
        raise ValueError(
            f"Expected {source} to hold a record of its training, but it has none: another "
            "program, a tool, or an older sdtune wrote it."
        )
    if len(text) > _LARGEST:
        raise ValueError(
            f"Expected the record of a training in {source} to have {_LARGEST} characters at "
            f"most, but got {len(text)}."
        )
    record = parse_json(TrainingRecord, text, source)
    if record.version != VERSION:
        raise JsonFileError(
            source, [f"Expected version {VERSION} of `{RECORD_KEY}`, but got {record.version}."]
        )
    return record


def differences(before: TrainingRecord, now: TrainingRecord) -> list[str]:
    """List what differs between two trainings.

    Args:
        before: The one that is recorded.
        now: The other one. Of what is not known of it, which is empty, nothing is said.

    Returns:
        One line each.
    """
    lines = [f"it was changed on its way: {each}" for each in before.changes]
    lines += _changed("recipe", _flat(before.recipe), _flat(now.recipe))
    lines += _changed("package", before.packages, now.packages)
    lines += _changed("machine", before.machine, now.machine)
    lines += _changed("base", before.base, now.base)
    for name in ("threads", "processes"):
        lines += _changed("run", {name: getattr(before, name)}, {name: getattr(now, name)})
    if before.pictures and now.pictures and before.pictures != now.pictures:
        lines += _changed_files(before.files, now.files)
    if before.class_files and now.class_files and before.class_files != now.class_files:
        lines.append("data: class pictures differ")
    return lines


def _changed(what: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    if not now:
        return
    for key in sorted(before.keys() | now.keys()):
        values = [_shown(each[key]) if key in each else "none" for each in (before, now)]
        if values[0] != values[1]:
            yield f"{what}: {key} was {values[0]}, is {values[1]}"


def _changed_files(before: list[str], now: list[str]) -> Iterator[str]:
    if not before or not now:
        yield "data: other pictures or captions"
        return
    old, new = ([each.partition(":")[0] for each in words] for words in (before, now))
    missing, added = sorted({*old} - {*new}), sorted({*new} - {*old})
    for words, what in ((missing, "missing"), (added, "new")):
        if words:
            shown = ", ".join(f"{each}…" for each in words[:_LISTED])
            yield f"data: {counted(len(words), 'file is', 'files are')} {what}, by sha256: {shown}"
    if not missing and not added:
        said = sum(each not in {*before} for each in now)
        yield (
            f"data: captions or repeats of {counted(said, 'picture')} differ"
            if said
            else "data: pictures are in another order"
        )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}".replace(".init_args.", ".")
        found |= _flat(value, f"{name}.") if isinstance(value, Mapping) and value else {name: value}
    return found


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return f"`{text.encode('unicode_escape').decode()[:200]}`"
