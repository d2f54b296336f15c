"""Captions that a run has made for its pictures, in its folder and, by captioner, in the cache."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sdtune._prompt_fields import PromptFields, Subject
from sdtune.files.json_file import JsonFileError, read_json, write_json

__all__ = [
    "CAPTIONS",
    "MadeCaption",
    "MadeCaptions",
    "read_descriptions",
    "read_made_captions",
    "recorded_captions",
    "write_descriptions",
    "write_made_captions",
]

log = logging.getLogger(__name__)

CAPTIONS = "captions.json"
"""The file, in the folder of the run."""

VERSION = 1

_FIELDS = PromptFields.of_subjects([Subject("")])
"""Those that a caption may have; what they read is another matter."""

# raise it when the same captioner says something else of the same picture
_SAID_VERSION = 3


@dataclass(frozen=True)
class MadeCaption:
    """The caption of a picture that had none.

    Attributes:
        picture: The picture's name below its folder.
        sha256: Of the picture's file, by which it is found again.
        caption: Such as "a {subject} on a green background".
        captioner: What described it, such as `clip`.
    """

    picture: str
    sha256: str
    caption: str
    captioner: str


@dataclass(frozen=True)
class MadeCaptions:
    """All captions that a run has made.

    Attributes:
        captions: One for each picture that had none.
    """

    captions: list[MadeCaption] = field(default_factory=list)


@dataclass(frozen=True)
class _Descriptions:
    said: dict[str, str]


def read_made_captions(folder: Path) -> list[MadeCaption]:
    """Read the captions that a run has made.

    Args:
        folder: The folder of the run.

    Returns:
        The captions; none if there is no such file.

    Raises:
        JsonFileError: If the file is damaged, or a caption has a field that no data has: to go on
            with other captions would be another run.
    """
    try:
        captions = read_json(MadeCaptions, folder / CAPTIONS, VERSION).captions
    except FileNotFoundError:
        return []
    problems = [
        problem
        for number, each in enumerate(captions)
        for problem in _FIELDS.problems([each.caption], f"captions[{number}].caption")
    ]
    if problems:
        raise JsonFileError(folder / CAPTIONS, problems)
    return captions


def recorded_captions(text: str) -> dict[str, str]:
    """Read the captions in an adapter's header; what a stranger wrote otherwise is left out.

    Args:
        text: JSON, SHA-256 of a picture's file -> its caption.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    pairs = content.items() if isinstance(content, dict) else ()
    return {
        key: " ".join(value.split())
        for key, value in pairs
        if isinstance(value, str) and not _FIELDS.problems([value], key)
    }


def write_made_captions(folder: Path, captions: Sequence[MadeCaption]) -> None:
    """Write the captions that a run has made, unless its file says the same already.

    Args:
        folder: The folder of the run.
        captions: One for each picture that had none.

    Raises:
        OSError: If it cannot be written.
    """
    if captions and captions != read_made_captions(folder):
        listed = [vars(each) for each in captions]
        write_json(folder / CAPTIONS, {"version": VERSION, "captions": listed})


def read_descriptions(cache: Path, captioner: str, subject: str) -> dict[str, str]:
    """Read from the cache what a captioner has said of pictures.

    Args:
        cache: The cache's folder.
        captioner: Which one.
        subject: What it was told that they show.

    Returns:
        SHA-256 of a picture's file -> what it said.
    """
    try:
        return read_json(_Descriptions, _path(cache, captioner, subject), _SAID_VERSION).said
    except (FileNotFoundError, JsonFileError):
        return {}


def write_descriptions(cache: Path, captioner: str, subject: str, said: Mapping[str, str]) -> None:
    """Keep what a captioner has said, see `read_descriptions`; a full disk is no fault."""
    content = {"version": _SAID_VERSION, "captioner": captioner, "subject": subject}
    try:
        write_json(_path(cache, captioner, subject), {**content, "said": dict(said)})
    except OSError as error:
        log.warning("Captions could not be kept in the cache: %s.", error)


def _path(cache: Path, captioner: str, subject: str) -> Path:
    key = json.dumps([_SAID_VERSION, captioner, subject])
    return cache / "captions" / f"{hashlib.sha256(key.encode()).hexdigest()}.json"
