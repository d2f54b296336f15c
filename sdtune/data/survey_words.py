"""A survey of pictures in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sdtune._checks import shortened
from sdtune._wording import counted
from sdtune.data.manifest import DECODED_AT_MOST
from sdtune.data.survey import BucketFigures, MarkKind, Survey
from sdtune.files.line_list import cut_list

__all__ = ["bucket_line", "count_words", "percent_kept", "survey_lines"]

_BUCKETS_LISTED = 8
_CLASS = "class pictures"

_HEADINGS: dict[MarkKind, tuple[str, str]] = {
    "enlarged": (
        "is smaller than what the model reads and is enlarged",
        "are smaller than what the model reads and are enlarged",
    ),
    "subject": (
        "is one of the subject, which training is to change",
        "are of the subject, which training is to change",
    ),
    "duplicate": (
        "is there twice, which makes it count more than the others",
        "are copies of others, which makes these count more",
    ),
    "alike": ("looks like another one", "look like others"),
    "caption": (
        "has a caption that says nothing of what it shows",
        "have captions that say nothing of what they show",
    ),
    "controls": (
        "has control characters in its caption, which no model knows",
        "have control characters in their captions, which no model knows",
    ),
}
_REMEDIES: dict[MarkKind, str] = {
    "enlarged": "look for larger versions, or lower `data.resolution`",
    "subject": "take them out of the class",
    "duplicate": "delete all but one",
    "alike": "look whether one is enough",
    "caption": "write others; `sdtune caption` helps",
    "controls": "take them out of the captions",
}


def survey_lines(survey: Survey, most: int | None = None) -> list[str]:
    """Say what a set of pictures comes to.

    Args:
        survey: The survey.
        most: How many pictures of each list are named; None for 20, with the rest in a file.

    Returns:
        A line for the whole, one for each bucket where these are few, and one for each thing to
        know with the pictures that it is about below it.
    """
    if not survey.pictures:
        return []
    lines = _lines_of(survey, most, "data")
    if survey.of_class is not None:
        lines += _lines_of(survey.of_class, most, _CLASS)
    return lines


def _lines_of(survey: Survey, most: int | None, what: str) -> list[str]:
    lines = [_summary(survey, what)]
    if 1 < len(survey.buckets) <= _BUCKETS_LISTED:
        lines += [f"  {bucket_line(each)}" for each in survey.buckets]
    lines += _unfilled(survey)
    if survey.same_caption is not None:
        said = shortened(survey.same_caption)
        lines.append(f"data: all pictures have one and the same caption, {said}.")
    if not survey.is_compared:
        lines.append(
            f"{what}: of more than {DECODED_AT_MOST:,} pictures, those that only look alike are "
            "not looked for."
        )
    for kind in _HEADINGS:
        lines += _marked(survey, kind, most, what)
    return lines


def bucket_line(bucket: BucketFigures) -> str:
    """Say how many pictures a bucket has, and how much of them is kept."""
    width, height = bucket.size
    kept = percent_kept(bucket.kept)
    return f"{width}x{height}: {counted(bucket.pictures, 'picture')}, {kept} of the pixels kept"


def percent_kept(share: float) -> str:
    """Write a share that is kept; only what is whole is 100 %."""
    return f"{min(round(share * 100), 99) if share < 1 else 100} %"


def count_words(counts: Mapping[str, int]) -> str:
    """Say how many pictures are marked, by `MarkKind`; empty if none are."""
    names = {
        "enlarged": "enlarged",
        "subject": "of the subject itself",
        "duplicate": "copies of others",
        "alike": "that look like others",
        "caption": "with captions that say nothing",
        "controls": "with control characters in their captions",
    }
    known = [(counts.get(kind, 0), name) for kind, name in names.items()]
    return ", ".join(f"{count:,} {name}" for count, name in known if count)


def _summary(survey: Survey, what: str) -> str:
    count, kept = len(survey.buckets), percent_kept(survey.mean_kept)
    (width, height), *_ = (each.size for each in survey.buckets)
    where = f"in {count} buckets" if count > 1 else f"at {width}x{height}"
    if what == _CLASS and count > 1:
        where = f"at the {count} sizes of those that they stand beside"
    pictures = counted(len(survey.pictures), "picture")
    said = f"{what}: {pictures} {where}; {kept} of the pixels are kept"
    worst = min(range(len(survey.kept)), key=survey.kept.__getitem__)
    least = percent_kept(survey.kept[worst])
    if least == kept:
        return f"{said}."
    return f"{said}, the least {least} ({survey.pictures[worst].name})."


def _unfilled(survey: Survey) -> list[str]:
    unfilled = survey.unfilled
    if not unfilled:
        return []
    listed = ", ".join(f"{w}x{h}: {each.samples}" for each in unfilled[:5] for w, h in [each.size])
    more = f" and {len(unfilled) - 5} more" if len(unfilled) > 5 else ""
    have = counted(len(unfilled), "bucket has", "buckets have")
    return [
        f"data: {have} fewer samples than a batch of {survey.batch_size} ({listed}{more}), so that "
        "their batches are never full; add pictures of these shapes, crop them to more usual ones, "
        "or lower `data.batch_size`."
    ]


def _marked(survey: Survey, kind: MarkKind, most: int | None, what: str) -> list[str]:
    marks = survey.marks_of(kind)
    count = len({each.position for each in marks})
    if not count:
        return []
    pictures = counted(count, "picture")
    heading = f"{what}: {pictures} {_HEADINGS[kind][count > 1]}; {_REMEDIES[kind]}:"
    lines = [f"{survey.pictures[each.position].path} {each.text}" for each in marks]
    return [heading, *(f"  {line}" for line in _cutter(most)(lines))]


def _cutter(most: int | None) -> Callable[[Sequence[str]], Sequence[str]]:
    if most is None:
        return cut_list
    return lambda lines: [
        *lines[:most],
        *([f"and {len(lines) - most} more, see `sdtune check`"] if len(lines) > most else []),
    ]
