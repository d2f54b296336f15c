import math

import numpy as np
import pytest
import torch
from PIL import Image

from sdtune.run_folder.picture_file import from_bytes, mark_lost, read_png, to_bytes, write_png


def test_pictures_are_rounded_and_what_is_no_number_is_black():
    values = torch.tensor([0.0, 0.5, 1.0, 2.0, -1.0, math.nan])
    assert to_bytes(values.reshape(1, 1, 6)).flatten().tolist() == [0, 128, 255, 255, 0, 0]


def test_a_picture_comes_back_with_its_texts(tmp_path):
    pixels = torch.arange(3 * 2 * 4, dtype=torch.uint8).reshape(3, 2, 4)
    for text in ("old", "new"):
        write_png(tmp_path / "below" / "a.png", from_bytes(pixels), {"sdtune": text})
    with Image.open(tmp_path / "below" / "a.png") as picture:
        assert picture.info == {"sdtune": "new"}
        assert np.array_equal(np.asarray(picture), pixels.permute(1, 2, 0).numpy())


def test_pictures_that_are_lost_are_striped_and_the_others_untouched():
    images = torch.rand(4, 3, 16, 24)
    assert mark_lost(images)[0] is images
    whole = images.clone()
    images[1, 2, 3, 4], images[3, 0, 0, 0] = math.nan, math.inf
    marked, lost = mark_lost(images)
    assert lost == 2
    assert torch.equal(marked[[0, 2]], whole[[0, 2]])
    for picture in marked[[1, 3]]:
        assert picture.unique().tolist() == [0.0, 1.0]
        assert 0.4 < picture.mean() < 0.6


def test_only_a_whole_png_is_read(tmp_path):
    path = tmp_path / "a.png"
    write_png(path, from_bytes(torch.zeros(3, 2, 4, dtype=torch.uint8)), {"sdtune": "text"})
    assert read_png(path).info == {"sdtune": "text"}
    content = path.read_bytes()
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 2\n%%EndComments\nshowpage\n"
    for damaged in (content[:40], b"", postscript):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"a\.png to be a PNG, but it cannot be read"):
            read_png(path)
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        read_png(tmp_path / "gone.png")
