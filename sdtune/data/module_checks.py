"""What data modules check of the arguments that they share."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import TypeVar, get_args

from sdtune.data.buckets import BucketSettings
from sdtune.data.pictures import Crop

__all__ = ["check_buckets", "check_crop", "check_resolution", "settings_of"]

Settings = TypeVar("Settings")


def check_resolution(resolution: int | None) -> None:
    """Check the side of the square; None, which takes the model's, is right.

    Raises:
        ValueError: If it is no positive multiple of 8.
    """
    if resolution is not None and (resolution <= 0 or resolution % 8):
        raise ValueError(
            f"Expected `resolution` to be a positive multiple of 8, but got {resolution}."
        )


def check_buckets(buckets: BucketSettings | None, resolution: int | None) -> None:
    """Check the settings of buckets by themselves, and around the resolution if that is known.

    Raises:
        ValueError: If they are out of their ranges.
    """
    if buckets is not None:
        buckets.check()
        if resolution is not None:
            buckets.around(resolution)


def check_crop(crop: str) -> None:
    """Check the way of cropping.

    Raises:
        ValueError: If there is none of that name.
    """
    if crop not in get_args(Crop):
        raise ValueError(f"Expected `crop` to be 'center' or 'random', but got {crop!r}.")


def settings_of(
    name: str, kind: type[Settings], given: Settings | Mapping[str, object]
) -> Settings:
    """Make nested settings of a mapping, which is how a checkpoint keeps them.

    Args:
        name: The argument.
        kind: What they are.
        given: As they were given; what is no mapping is left as it is.

    Raises:
        ValueError: If names are missing, or are not those of the settings.
    """
    if not isinstance(given, Mapping):
        return given
    known = signature(kind).parameters
    needed = {each.name for each in known.values() if each.default is each.empty}
    if not needed <= given.keys() <= known.keys():
        raise ValueError(
            f"Expected `{name}` to be a {kind.__name__}, or a mapping of "
            f"{', '.join(f'`{each}`' for each in known)}, but got {dict(given)!r}."
        )
    return kind(**given)
