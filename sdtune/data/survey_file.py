"""The survey of a run's pictures, in its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import FiniteFloat

from sdtune.data.survey import BucketFigures, Survey
from sdtune.files.json_file import read_json, write_json

__all__ = ["SURVEY", "RecordedSurvey", "read_survey", "write_survey"]

SURVEY = "data.json"
"""The file, in the folder of the run."""

VERSION = 1

_LISTED = 20  # pictures with one thing to know of them


@dataclass(frozen=True)
class RecordedSurvey:
    """What the file says of all pictures; it names some of them besides.

    Attributes:
        pictures: How many there are.
        kept: Mean share of a picture's pixels that the crop leaves, in (0, 1].
        smallest_kept: That of the picture that loses most.
        buckets: What becomes of the pictures of each shape.
        counts: How many pictures are marked, by `MarkKind`.
        class_pictures: The same of the class pictures; None if there are none.
    """

    pictures: int
    kept: FiniteFloat
    smallest_kept: FiniteFloat
    buckets: list[BucketFigures]
    counts: dict[str, int]
    class_pictures: RecordedSurvey | None = None


def write_survey(folder: Path, survey: Survey) -> bool:
    """Write a survey with at most 20 pictures for each thing to know.

    Args:
        folder: The folder of the run.
        survey: The survey.

    Returns:
        Whether it could be written.
    """
    try:
        write_json(folder / SURVEY, {"version": VERSION, **survey.to_json(_LISTED)})
    except OSError:
        return False
    return True


def read_survey(folder: Path) -> RecordedSurvey | None:
    """Read what a run's pictures come to.

    Args:
        folder: The folder of the run.

    Returns:
        The figures; None if there is no such file.

    Raises:
        JsonFileError: If the file is damaged.
    """
    try:
        return read_json(RecordedSurvey, folder / SURVEY, VERSION)
    except FileNotFoundError:
        return None
