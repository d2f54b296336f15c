"""Aspect-ratio buckets: the sizes in which pictures are trained, so that little of each is lost.

A batch holds pictures of one size. A square for all of them cuts 45 % off a picture of 890 x 490;
the nearest of some sizes of about equal area, 640 x 384, cuts 8 %. The rules are those of kohya's
trainer, so that equal settings give equal buckets.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property

from sdtune._checks import check_all, check_positive

__all__ = ["DEFAULT_BUCKETS", "BucketSettings", "Buckets", "Size", "bucket_chooser"]

Size = tuple[int, int]
"""Width and height, in pixels."""


@dataclass(frozen=True)
class BucketSettings:
    """What may be said of the buckets, all in pixels; what is not follows from the resolution.

    Args:
        step: Both sides of every bucket are multiples of it; None for 64, or an eighth of a
            resolution below 512, rounded down to a multiple of 8.
        smallest: Shortest side, rounded down to `step`; None for half the resolution.
        largest: Longest side, rounded up to `step`; None for twice the resolution.
        enlarge: Whether pictures with less area than the square of the resolution are enlarged to
            it. If not, each has a bucket of its own size, rounded down to `step`.
    """

    step: int | None = None
    smallest: int | None = None
    largest: int | None = None
    enlarge: bool = True

    def around(self, resolution: int) -> Buckets:
        """Make the buckets of a resolution.

        Args:
            resolution: Side of the square whose area no bucket exceeds, in pixels.

        Returns:
            The buckets: of 512 pixels, by default, kohya's 17, from 256 to 1024 in steps of 64.

        Raises:
            ValueError: If the sides are out of order.
        """
        step = self.step or min(64, max(8, resolution // 64 * 8))
        smallest = self.smallest or max(resolution // 2, step)
        largest = self.largest or resolution * 2
        sides = (step, smallest, resolution, largest)
        if list(sides) != sorted(sides) or step % 8:
            raise ValueError(
                "Expected `buckets` to have a step that is a multiple of 8, and step <= smallest "
                f"<= resolution <= largest, but got {', '.join(map(str, sides))}."
            )
        smallest, largest = smallest // step * step, -(-largest // step) * step
        return Buckets(resolution, step, smallest, largest, self.enlarge)

    def check(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: If values are out of their ranges, with a line for each.
        """
        check_all(
            lambda: check_positive("buckets.step", self.step, of="integer"),
            lambda: check_positive("buckets.smallest", self.smallest, of="integer"),
            lambda: check_positive("buckets.largest", self.largest, of="integer"),
        )


DEFAULT_BUCKETS = BucketSettings()


@dataclass(frozen=True)
class Buckets:
    """The sizes that pictures are resized to cover and cropped to.

    Attributes:
        resolution: Side of the square whose area no bucket exceeds, in pixels.
        step: Both sides of every bucket are multiples of it, in pixels.
        smallest: Shortest side, in pixels.
        largest: Longest side, in pixels.
        enlarge: Whether a picture with less area than the square is enlarged. If not, it has a
            bucket of its own size, rounded down to `step`.
    """

    resolution: int
    step: int
    smallest: int
    largest: int
    enlarge: bool = True

    @cached_property
    def sizes(self) -> list[Size]:
        """All buckets by width and height; of two that are equally near, the first is taken."""
        area = self.resolution**2
        sizes = {(self.resolution // self.step * self.step,) * 2}
        for side in range(self.smallest, self.largest + 1, self.step):
            other = min(self.largest, area // side // self.step * self.step)
            if other >= self.smallest:
                sizes |= {(side, other), (other, side)}
        return sorted(sizes)

    def of(self, size: Size) -> Size:
        """Choose the bucket of a picture.

        Args:
            size: Width and height of the picture, in pixels.

        Returns:
            The bucket of its very size, if there is one; else the one of the nearest aspect
            ratio, width by height.
        """
        if not self.enlarge:
            return self._shrunk(size)
        if size in self._known:
            return size
        ratio = size[0] / size[1]
        return min(self.sizes, key=lambda bucket: abs(bucket[0] / bucket[1] - ratio))

    @cached_property
    def _known(self) -> frozenset[Size]:
        return frozenset(self.sizes)

    def _shrunk(self, size: Size) -> Size:
        """Round a size down to `step`, after a picture of too large an area has been shrunk."""
        width, height = size
        if width * height > self.resolution**2:
            ratio = width / height
            exact = self.resolution * math.sqrt(ratio)
            by_width = self._rounded(exact)
            by_height = self._rounded(self.resolution**2 / exact)
            error_by_width = abs(by_width / self._rounded(by_width / ratio) - ratio)
            error_by_height = abs(self._rounded(by_height * ratio) / by_height - ratio)
            if error_by_width < error_by_height:
                width, height = by_width, int(by_width / ratio + 0.5)
            else:
                width, height = int(by_height * ratio + 0.5), by_height
        return max(width // self.step, 1) * self.step, max(height // self.step, 1) * self.step

    def _rounded(self, side: float) -> int:
        return max(int(side + 0.5) // self.step, 1) * self.step


def bucket_chooser(settings: BucketSettings | None, resolution: int) -> Callable[[Size], Size]:
    """Make what says in which size a picture is trained.

    Args:
        settings: The buckets; None makes all pictures square.
        resolution: Side of the square whose area no bucket exceeds, in pixels.

    Returns:
        From width and height of a picture to those that the model reads, in pixels.

    Raises:
        ValueError: See `BucketSettings.around`.
    """
    if settings is None:
        return lambda size: (resolution, resolution)
    return cache(settings.around(resolution).of)
