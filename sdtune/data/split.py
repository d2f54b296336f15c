"""Which pictures are held out of training, by what they are and not by where they stand."""

from __future__ import annotations

from collections.abc import Sequence

from sdtune.data.look_alikes import alike_groups
from sdtune.data.pictures import Picture
from sdtune.functional.randomness import Stream, counter_uniform

__all__ = ["held_out"]


def held_out(
    pictures: Sequence[Picture], seed: int, *, count: int = 0, share: float = 0.0
) -> list[int]:
    """Choose pictures by the hash of their files.

    So neither names nor order matter, and copies stay on one side; near copies do too, by the draw
    of the one among them whose hash is lowest. By `share`, a picture's side follows from itself and
    its near copies alone: one that is added or deleted moves no other. By `count`, those with the
    lowest draws are held out, so that one that is added can take the place of one other, and moves
    none into validation.

    Args:
        pictures: The pictures, with the hashes of their files. Those whose `perceptual` is None are
            compared by their files alone.
        seed: Seed of the split.
        count: How many to hold out; more if the last of them has copies.
        share: Share to hold out in the mean, in [0, 1), beside those that `count` asks for.

    Returns:
        Positions, sorted.
    """
    if not count and not share:
        return []
    draws = [
        counter_uniform(seed, Stream.SPLIT, int(digest[:16], 16)) for digest in _digests(pictures)
    ]
    lowest = sorted(draws)[min(count, len(draws)) - 1] if count and draws else -1.0
    return [position for position, draw in enumerate(draws) if draw < share or draw <= lowest]


def _digests(pictures: Sequence[Picture]) -> list[str]:
    """Give each picture's hash; of those that look alike, the lowest."""
    groups = alike_groups([each.perceptual for each in pictures])
    lowest = [each.sha256 for each in pictures]
    for picture, group in zip(pictures, groups, strict=True):
        lowest[group] = min(lowest[group], picture.sha256)
    return [lowest[group] for group in groups]
