import numpy as np
import pytest
import torch
from PIL import Image

from sdtune.data.transforms import crop_box, cut_out, share_kept, to_pixel_values


@pytest.mark.parametrize(
    ("size", "target", "position", "box"),
    [
        ((64, 64), (32, 32), (0.5, 0.5), (0, 0, 64, 64)),
        ((80, 40), (32, 32), (0.5, 0.5), (20, 0, 60, 40)),
        ((80, 40), (32, 32), (0.0, 0.3), (0, 0, 40, 40)),
        ((40, 80), (32, 32), (0.9, 1.0), (0, 40, 40, 80)),
        ((890, 490), (640, 384), (0.5, 0.5), (36.6667, 0, 853.3333, 490)),
    ],
)
def test_the_box_has_the_aspect_ratio_of_the_target(size, target, position, box):
    found = crop_box(size, target, position)
    assert found == pytest.approx(box, abs=1e-3)
    left, top, right, bottom = found
    assert (right - left) / (bottom - top) == pytest.approx(target[0] / target[1])


def test_boxes_never_leave_the_picture():
    for width in range(8, 200, 7):
        left, top, right, bottom = crop_box((width, 101), (64, 64), (1.0, 1.0))
        assert left >= 0
        assert top >= 0
        assert right <= width
        assert bottom <= 101


def test_pixels_are_scaled_and_flipped():
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels[0, 1] = (255, 128, 0)
    image = Image.fromarray(pixels)
    values = to_pixel_values(image)
    assert values.shape == (3, 2, 2)
    assert values.dtype == torch.float32
    torch.testing.assert_close(values[:, 0, 1], torch.tensor([1.0, 128 / 127.5 - 1, -1.0]))
    flipped = to_pixel_values(image, flip=True)
    assert torch.equal(flipped, values.flip(-1))


def test_shrinking_averages_instead_of_picking():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    values = to_pixel_values(cut_out(Image.fromarray(stripes), (8, 8), (0, 0, 64, 64)))
    assert values.abs().max() < 0.1


def test_the_share_that_is_kept():
    assert share_kept((64, 64), (32, 32)) == 1.0
    assert share_kept((80, 40), (32, 32)) == 0.5
    assert share_kept((890, 490), (640, 384)) == pytest.approx(0.91760, abs=1e-5)
