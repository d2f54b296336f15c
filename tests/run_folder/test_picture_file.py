import math

import numpy as np
import torch
from PIL import Image

from sdtune.run_folder.picture_file import from_bytes, to_bytes, write_png


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
