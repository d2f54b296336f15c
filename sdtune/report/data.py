"""What a run's training pictures come to: their shapes, and what there is to know of some."""

from __future__ import annotations

from collections.abc import Sequence

from sdtune._wording import counted
from sdtune.data.survey import BucketFigures
from sdtune.data.survey_file import RecordedSurvey
from sdtune.data.survey_words import count_words, percent_kept
from sdtune.report.table import Table

__all__ = ["bucket_table", "data_sentence"]


def bucket_table(buckets: Sequence[BucketFigures]) -> Table:
    """Make a table of what becomes of the pictures of each shape, most pictures first.

    Args:
        buckets: The buckets.

    Returns:
        The table.
    """
    rows = [
        [f"{each.size[0]}x{each.size[1]}", f"{each.pictures:,}", percent_kept(each.kept)]
        for each in sorted(buckets, key=lambda each: -each.pictures)
    ]
    note = "Each picture is resized to cover the bucket of its shape, and what stands over is cut."
    return Table("Buckets", ["size", "pictures", "of their pixels kept"], rows, note)


def data_sentence(survey: RecordedSurvey) -> str:
    """Say how many pictures there are, what the crop keeps, and what there is to know of some.

    Args:
        survey: What the run's folder says of its pictures.

    Returns:
        One or two sentences.
    """
    pictures = counted(survey.pictures, "picture")
    least = percent_kept(survey.smallest_kept)
    said = f"{pictures}; training sees {percent_kept(survey.kept)} of their pixels"
    said += "." if least == percent_kept(survey.kept) else f", and of one only {least}."
    counts = count_words(survey.counts)
    if counts:
        said += f" Among them: {counts}; `sdtune check` names them."
    if survey.class_pictures is not None:
        said += f" Class pictures: {data_sentence(survey.class_pictures)}"
    return said
