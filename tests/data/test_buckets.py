import math
import random

import numpy as np
import pytest

from sdtune.data.buckets import BucketSettings


def kohya_sizes(area_side: int, smallest: int, largest: int, step: int) -> list[tuple[int, int]]:
    """The sizes by the rule as it is described for kohya's trainer, written on its own."""
    area = area_side * area_side
    square = math.isqrt(area) // step * step
    found = {(square, square)}
    width = smallest
    while width <= largest:
        height = area // width
        height -= height % step
        height = height if height < largest else largest
        if not height < smallest:
            found.update([(width, height), (height, width)])
        width += step
    return sorted(found)


def kohya_bucket(size: tuple[int, int], sizes: list[tuple[int, int]]) -> tuple[int, int]:
    if size in set(sizes):
        return size
    ratios = np.array([width / height for width, height in sizes])
    return sizes[int(np.abs(ratios - size[0] / size[1]).argmin())]


def kohya_bucket_without_upscale(size, side, step):
    width, height = size
    ratio = width / height

    def rounded(x):
        x = int(x + 0.5)
        return x - x % step

    if width * height > side * side:
        exact_width = math.sqrt(side * side * ratio)
        exact_height = side * side / exact_width
        w = rounded(exact_width)
        h_for_w = rounded(w / ratio)
        h = rounded(exact_height)
        w_for_h = rounded(h * ratio)
        if abs(w / h_for_w - ratio) < abs(w_for_h / h - ratio):
            width, height = w, int(w / ratio + 0.5)
        else:
            width, height = int(h * ratio + 0.5), h
    return width - width % step, height - height % step


def test_512_has_kohyas_17_buckets():
    buckets = BucketSettings().around(512)
    assert (buckets.step, buckets.smallest, buckets.largest) == (64, 256, 1024)
    assert len(buckets.sizes) == 17
    assert {(512, 512), (640, 384), (384, 640), (1024, 256), (768, 320), (704, 320)} <= set(
        buckets.sizes
    )
    assert all(width * height <= 512 * 512 for width, height in buckets.sizes)


@pytest.mark.parametrize("side", [512, 768, 1024])
def test_random_sizes_go_to_kohyas_buckets(side):
    draw = random.Random(side)
    buckets = BucketSettings().around(side)
    sizes = kohya_sizes(side, side // 2, side * 2, 64)
    assert buckets.sizes == sizes
    for _ in range(10_000):
        size = (draw.randint(16, 6000), draw.randint(16, 6000))
        assert buckets.of(size) == kohya_bucket(size, sizes), size


def test_without_enlargement_random_sizes_go_to_kohyas_buckets():
    draw = random.Random(0)
    buckets = BucketSettings(enlarge=False).around(512)
    for _ in range(10_000):
        width = draw.randint(64, 4000)
        height = draw.randint(max(64, width // 4), min(4000, width * 4))
        expected = kohya_bucket_without_upscale((width, height), 512, 64)
        assert buckets.of((width, height)) == expected, (width, height)


def test_the_papers_paintings_and_phone_photos_have_a_bucket_of_their_proportions():
    buckets = BucketSettings().around(512)
    assert buckets.of((890, 490)) == (640, 384)
    assert buckets.of((3024, 4032)) == (448, 576)


def test_a_small_base_has_buckets_in_proportion():
    buckets = BucketSettings().around(64)
    assert (buckets.step, buckets.smallest, buckets.largest) == (8, 32, 128)
    assert len(buckets.sizes) == 17
    assert buckets.of((890, 490)) == (80, 48)


@pytest.mark.parametrize("enlarge", [True, False])
def test_buckets_of_every_resolution_keep_to_their_step(enlarge):
    for resolution in range(64, 1537, 8):
        buckets = BucketSettings(enlarge=enlarge).around(resolution)
        assert buckets.step % 8 == 0
        assert buckets.step == min(64, resolution // 64 * 8)
        pictures = [(890, 490), (3024, 4032), (100, 101), (5000, 300), (resolution, resolution)]
        for size in [*buckets.sizes, *map(buckets.of, pictures)]:
            assert all(side > 0 and side % buckets.step == 0 for side in size), (resolution, size)
        assert all(width * height <= resolution**2 for width, height in buckets.sizes)
        assert (resolution // buckets.step * buckets.step,) * 2 in buckets.sizes


def test_sides_that_are_given_are_rounded_as_kohya_does():
    buckets = BucketSettings(smallest=300, largest=1000).around(512)
    assert (buckets.smallest, buckets.largest) == (256, 1024)
    assert buckets.sizes == BucketSettings().around(512).sizes


def test_a_square_is_a_square_and_a_bucket_is_itself():
    buckets = BucketSettings().around(512)
    assert buckets.of((100, 100)) == buckets.of((4000, 4000)) == (512, 512)
    assert all(buckets.of(size) == size for size in buckets.sizes)


@pytest.mark.parametrize(
    ("settings", "sides"),
    [
        (BucketSettings(smallest=600), "64, 600, 512, 1024"),
        (BucketSettings(largest=500), "64, 256, 512, 500"),
        (BucketSettings(step=60), "60, 256, 512, 1024"),
    ],
)
def test_sides_out_of_order_are_refused(settings, sides):
    with pytest.raises(ValueError, match=f"multiple of 8, .* but got {sides}"):
        settings.around(512)


def test_ranges_are_checked_without_a_resolution():
    BucketSettings().check()
    with pytest.raises(ValueError, match=r"`buckets\.step` to be a positive integer, but got -8"):
        BucketSettings(step=-8).check()
