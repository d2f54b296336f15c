"""What a set of pictures comes to before it is trained on: shapes, crops, copies, captions."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path, PurePath
from typing import Any, Literal

from pydantic import FiniteFloat

from sdtune.data.buckets import BucketSettings, Size, bucket_chooser
from sdtune.data.decoding import IMAGE_SUFFIXES
from sdtune.data.look_alikes import first_alikes
from sdtune.data.manifest import DECODED_AT_MOST
from sdtune.data.pictures import Picture
from sdtune.data.transforms import share_kept
from sdtune.data.uncollected import uncollected

__all__ = [
    "BucketFigures",
    "Mark",
    "MarkKind",
    "Survey",
    "survey_class_pictures",
    "survey_pictures",
]

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f]")

MarkKind = Literal["enlarged", "subject", "duplicate", "alike", "caption", "controls"]


@dataclass(frozen=True)
class BucketFigures:
    """What becomes of the pictures of one bucket.

    Attributes:
        size: Width and height in which they are trained, in pixels.
        pictures: How many there are.
        samples: How many samples an epoch makes of them.
        kept: Mean share of a picture's pixels that the crop leaves, in (0, 1].
    """

    size: Size
    pictures: int
    samples: int
    kept: FiniteFloat


@dataclass(frozen=True)
class Mark:
    """What there is to know of one picture.

    Attributes:
        position: Which picture.
        kind: `enlarged`, `duplicate` (the same file as another one), `alike` (looks like another
            one), `caption`, or `subject` (a class picture that is one of the subject).
        text: The same in words, as the end of a sentence about the picture.
    """

    position: int
    kind: MarkKind
    text: str


@dataclass(frozen=True)
class Survey:
    """A set of pictures in figures.

    Attributes:
        pictures: The pictures.
        targets: Width and height in which each is trained, in pixels.
        kept: Share of each one's pixels that the crop leaves, in (0, 1].
        resolution: Side of the square that the model reads, in pixels.
        buckets: By width and height.
        batch_size: Samples in a batch, of all processes together.
        marks: What there is to know of single pictures, in the order of the pictures.
        same_caption: The caption that all pictures share though each has its own; None if they
            differ.
        of_class: The class pictures that stand beside these, at the sizes of these; None if there
            are none.
    """

    pictures: Sequence[Picture] = field(repr=False)
    targets: Sequence[Size] = field(repr=False)
    kept: Sequence[float] = field(repr=False)
    resolution: int
    buckets: Sequence[BucketFigures]
    batch_size: int
    marks: Sequence[Mark] = ()
    same_caption: str | None = None
    of_class: Survey | None = None

    @property
    def mean_kept(self) -> float:
        """Mean share of a picture's pixels that the crop leaves, in (0, 1]; 1 of no pictures."""
        return sum(self.kept) / len(self.kept) if self.kept else 1.0

    @property
    def is_compared(self) -> bool:
        """Whether pictures were compared by what they show: larger sets are not decoded for it."""
        return len(self.pictures) <= DECODED_AT_MOST

    @property
    def unfilled(self) -> list[BucketFigures]:
        """The buckets that never fill a batch, though an epoch has enough samples for one."""
        if sum(each.samples for each in self.buckets) < self.batch_size:
            return []
        return [each for each in self.buckets if 0 < each.samples < self.batch_size]

    def marks_of(self, kind: MarkKind) -> list[Mark]:
        """List the marks of one kind."""
        return [each for each in self.marks if each.kind == kind]

    def to_json(self, most: int | None = None) -> dict[str, Any]:
        """Give the figures as JSON holds them.

        Args:
            most: How many marks of each kind are listed; None is all of them.

        Returns:
            `pictures`, `resolution`, `batch_size`, `kept`, `smallest_kept`, `same_caption`,
            `buckets`, `unfilled`, `is_compared`, `counts` of the marks by kind, `marks`, and
            `class_pictures`, which is as all of this or null.
        """
        counts = Counter(each.kind for each in self.marks)
        listed = [mark for kind in counts for mark in islice(self.marks_of(kind), most)]
        return {
            "pictures": len(self.pictures),
            "resolution": self.resolution,
            "batch_size": self.batch_size,
            "kept": round(self.mean_kept, 4),
            "smallest_kept": round(min(self.kept, default=1.0), 4),
            "same_caption": self.same_caption,
            "buckets": [
                {
                    "size": list(each.size),
                    "pictures": each.pictures,
                    "samples": each.samples,
                    "kept": round(each.kept, 4),
                }
                for each in self.buckets
            ],
            "unfilled": [list(each.size) for each in self.unfilled],
            "is_compared": self.is_compared,
            "counts": dict(counts),
            "marks": [
                {
                    "picture": self.pictures[each.position].name,
                    "kind": each.kind,
                    "text": each.text,
                }
                for each in listed
            ],
            "class_pictures": self.of_class and self.of_class.to_json(most),
        }


@uncollected()
def survey_pictures(
    pictures: Sequence[Picture],
    resolution: int,
    buckets: BucketSettings | None,
    *,
    samples: Sequence[int] | None = None,
    batch_size: int = 1,
    own_captions: bool = True,
) -> Survey:
    """Look over pictures that open, by what a scan has found out of them; reads no pixels.

    Args:
        pictures: The pictures.
        resolution: Side of the square that the model reads, in pixels.
        buckets: Sizes of about the square's area; None makes all square.
        samples: How many samples an epoch makes of each; None for one.
        batch_size: Samples in a batch, of all processes together.
        own_captions: Whether each picture has a caption of its own; one that is given for all is
            not looked at.

    Returns:
        The figures.

    Raises:
        ValueError: If there are no such buckets around the resolution.
    """
    choose = bucket_chooser(buckets, resolution)
    targets = [choose(each.size) for each in pictures]
    share = cache(share_kept)
    kept = [share(each.size, target) for each, target in zip(pictures, targets, strict=True)]
    enlarged = map(_enlarged, range(len(pictures)), pictures, targets)
    marks = [*filter(None, enlarged), *_copies(pictures), *_alike(pictures)]
    same = None
    if own_captions:
        marks += _suspicious(pictures)
        first = pictures[0].captions if len(pictures) > 1 else None
        if first and all(each.captions == first for each in pictures):
            same = first[0]
    return Survey(
        pictures,
        targets,
        kept,
        resolution,
        _figures(targets, kept, samples or [1] * len(pictures)),
        batch_size,
        sorted(marks, key=lambda each: each.position),
        same,
    )


def survey_class_pictures(
    pictures: Sequence[Sequence[Picture]],
    sizes: Sequence[Mapping[Size, int]],
    subjects: Sequence[Picture],
    resolution: int,
) -> Survey:
    """Look over class pictures, each of which is read at any size that its subject's have.

    Args:
        pictures: Those of each class.
        sizes: Likewise, width and height at which the subject's pictures are read -> how many
            samples an epoch makes at it.
        subjects: The subjects' own pictures, of which a class picture should be no copy.
        resolution: Side of the square that the model reads, in pixels.

    Returns:
        The figures; a picture's share of pixels is the mean over the sizes, and its `target` the
        most frequent of them.
    """
    share = cache(share_kept)
    read_at: dict[Path, Counter[Size]] = defaultdict(Counter)  # subjects may share a class
    for its, counts in zip(pictures, sizes, strict=True):
        for picture in its:
            read_at[picture.path].update(counts)
    every = list({each.path: each for its in pictures for each in its}.values())
    targets = [max(read_at[each.path].items(), key=lambda item: item[::-1])[0] for each in every]
    kept: list[float] = []
    marks: list[Mark] = []
    rows: dict[Size, list[float]] = defaultdict(list)
    for position, picture in enumerate(every):
        counts = read_at[picture.path]
        for size in counts:
            rows[size].append(share(picture.size, size))
        whole = sum(share(picture.size, size) * count for size, count in counts.items())
        kept.append(whole / counts.total())
        enlarged = filter(None, (_enlarged(position, picture, size) for size in counts))
        marks += islice(enlarged, 1)
    samples: Counter[Size] = Counter()
    for its, counts in zip(pictures, sizes, strict=True):
        samples.update(counts if its else {})
    figures = [
        BucketFigures(size, len(rows[size]), samples[size], sum(rows[size]) / len(rows[size]))
        for size in sorted(rows)
    ]
    marks += [*_of_subjects(every, subjects), *_copies(every), *_alike(every)]
    marks.sort(key=lambda each: each.position)
    return Survey(every, targets, kept, resolution, figures, 1, marks)


def _figures(
    targets: Sequence[Size], kept: Sequence[float], samples: Sequence[int]
) -> list[BucketFigures]:
    positions: dict[Size, list[int]] = defaultdict(list)
    for position, target in enumerate(targets):
        positions[target].append(position)
    return [
        BucketFigures(
            size,
            len(its),
            sum(samples[each] for each in its),
            sum(kept[each] for each in its) / len(its),
        )
        for size, its in sorted(positions.items())
    ]


def _enlarged(position: int, picture: Picture, target: Size) -> Mark | None:
    width, height = picture.size
    if width >= target[0] and height >= target[1]:
        return None
    text = f"is {width}x{height} pixels and is enlarged to {target[0]}x{target[1]}"
    return Mark(position, "enlarged", text)


def _copies(pictures: Sequence[Picture]) -> Iterator[Mark]:
    first: dict[str, int] = {}
    for position, picture in enumerate(pictures):
        if not picture.sha256:
            continue
        other = first.setdefault(picture.sha256, position)
        if other != position:
            yield Mark(position, "duplicate", f"is the same file as {pictures[other].name}")


def _of_subjects(pictures: Sequence[Picture], subjects: Sequence[Picture]) -> Iterator[Mark]:
    """Mark class pictures that are a subject's: they would preserve what is to be learned."""
    known = {each.sha256: each for each in subjects if each.sha256}
    for position, picture in enumerate(pictures):
        if picture.sha256 in known:
            name = known[picture.sha256].name
            yield Mark(position, "subject", f"is the same file as the subject's own {name}")


def _alike(pictures: Sequence[Picture]) -> Iterator[Mark]:
    """Name the first picture that each one looks like, other than its copies."""
    for one, other in first_alikes([each.perceptual for each in pictures]):
        if pictures[one].sha256 != pictures[other].sha256:
            yield Mark(one, "alike", f"looks like {pictures[other].name}")


def _suspicious(pictures: Sequence[Picture]) -> Iterator[Mark]:
    for position, picture in enumerate(pictures):
        for caption in picture.captions:
            if not caption.strip():
                yield Mark(position, "caption", "has an empty caption")
            elif _CONTROLS.search(caption):
                yield Mark(
                    position, "controls", f"has control characters in its caption, {caption!r}"
                )
            elif _is_file_name(caption, picture):
                yield Mark(position, "caption", f"has a file's name as its caption, {caption!r}")


def _is_file_name(caption: str, picture: Picture) -> bool:
    """Tell captions such as `IMG_0412.jpg` and `0012`: people do name files by what they show."""
    text = caption.strip()
    if text[text.rfind(".") :].lower() in IMAGE_SUFFIXES:
        return True
    if " " in text or text not in picture.name:  # most captions, and there may be a million
        return False
    return text == PurePath(picture.name).stem and re.search(r"[\d_]", text) is not None
