from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from sdtune.data.buckets import BucketSettings
from sdtune.data.concept import Concept
from sdtune.data.concept_dataset import ConceptDataset
from sdtune.data.encoded import Encoded
from sdtune.data.pictures import Picture, PictureDataset
from sdtune.files.feature_store import FeatureStore


def _pattern(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2, (height, width), dtype=np.uint8) * 255


@pytest.fixture
def masked(tmp_path):
    """A picture that is its own mask: so where the one is read, the other is."""

    def make(width: int, height: int, mask_scale: float = 1.0, turned: bool = False) -> Picture:
        mask = Image.fromarray(_pattern(int(width * mask_scale), int(height * mask_scale)))
        mask.save(tmp_path / "a_mask.png")
        picture = mask.resize((width, height), Image.Resampling.NEAREST).convert("RGB")
        exif = Image.Exif()
        if turned:  # the file lies on its side, the mask does not
            picture, exif[0x0112] = picture.transpose(Image.Transpose.ROTATE_90), 6
        picture.save(tmp_path / "a.png", exif=exif)
        return Picture(tmp_path / "a.png", "a.png", "it", mask=tmp_path / "a_mask.png")

    return make


@pytest.mark.parametrize(("size", "turned"), [((80, 64), False), ((64, 90), False), ((80, 64), 1)])
def test_a_mask_is_cut_and_mirrored_as_its_picture_to_the_pixel(masked, size, turned):
    picture = masked(*size, turned=bool(turned))
    data = PictureDataset([picture], resolution=64, flip=True, repeats=8, unmasked_weight=0.0)
    samples = [data[index] for index in range(8)]
    assert len({data._is_flipped((0, index), 0) for index in range(8)}) == 2
    for sample in samples:
        assert torch.equal(sample["loss_weights"], sample["pixel_values"][:1] / 2 + 0.5)


def test_a_mask_is_cut_as_its_picture_in_a_bucket(masked):
    buckets = BucketSettings(step=32, smallest=32, largest=128)
    data = PictureDataset(
        [masked(208, 64)], resolution=64, buckets=buckets, unmasked_weight=0.0, flip=True, repeats=4
    )
    assert data.target_of(0) == (96, 32)  # covered at half the size, 104 x 32: 4 go on either side
    halved = torch.from_numpy(_pattern(208, 64)).float().reshape(32, 2, 104, 2).mean(dim=(1, 3))
    expected = halved[:, 4:100] / 255
    for index in range(4):
        mirrored = expected.flip(1) if data._is_flipped((0, index), 0) else expected
        difference = data[index]["loss_weights"][0] - mirrored
        assert difference.abs().max() < 1 / 255  # the picture's own levels are whole numbers


def test_a_mask_of_half_the_size_is_scaled(masked):
    data = PictureDataset([masked(160, 128, 0.5)], resolution=128, unmasked_weight=0.0)
    sample = data[0]
    assert torch.equal(sample["loss_weights"], sample["pixel_values"][:1] / 2 + 0.5)


def test_weights_are_between_the_given_one_and_one(masked):
    weights = PictureDataset([masked(64, 64)], resolution=64, unmasked_weight=0.25)[0]
    assert weights["loss_weights"].unique().tolist() == [0.25, 1.0]
    assert "loss_weights" not in PictureDataset([masked(64, 64)], resolution=64)[0]


def test_transparency_is_the_mask_where_there_is_none(tmp_path):
    alpha = _pattern(64, 64)
    pixels = np.dstack([np.full((64, 64, 3), 200, np.uint8), alpha])
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.new("RGB", (64, 64)).save(tmp_path / "b.png")
    pictures = [Picture(tmp_path / name, name, "it") for name in ("a.png", "b.png")]
    data = PictureDataset(pictures, resolution=64, unmasked_weight=0.0)
    assert torch.equal(data[0]["loss_weights"][0], torch.from_numpy(alpha) / 255)
    assert data[1]["loss_weights"].unique().tolist() == [1.0]


@pytest.mark.parametrize("mode", ["1", "L labels", "RGBA", "I;16"])
def test_masks_of_other_modes(tmp_path, mode):
    pattern = _pattern(64, 64)
    if mode == "RGBA":  # transparent is black, whatever colour it hides
        white = np.full((64, 64, 3), 255, np.uint8)
        mask = Image.fromarray(np.dstack([white, pattern]))
    elif mode == "I;16":
        mask = Image.fromarray(pattern.astype(np.uint16) * 257)
    else:
        mask = Image.fromarray(pattern // 255 if mode == "L labels" else pattern == 255)
    mask.save(tmp_path / "a_mask.png")
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    picture = Picture(tmp_path / "a.png", "a.png", "it", mask=tmp_path / "a_mask.png")
    weights = PictureDataset([picture], resolution=64, unmasked_weight=0.0)[0]["loss_weights"]
    assert torch.equal(weights[0], torch.from_numpy(pattern) / 255)


def test_beside_latents_weights_are_means_over_their_pixels(masked, tmp_path):
    data = PictureDataset([masked(80, 64)], resolution=64, flip=True, repeats=4, unmasked_weight=0)
    fine = [data[index]["loss_weights"] for index in range(4)]
    data.encoded = Encoded(FeatureStore(tmp_path / "features"), "none")
    data.encode(lambda pixels: torch.zeros(len(pixels), 8, 8, 8), data.encoded)
    for index in range(4):
        means = fine[index].reshape(1, 8, 8, 8, 8).mean(dim=(2, 4))
        torch.testing.assert_close(data[index]["loss_weights"], means)


def test_a_changed_mask_is_read_again(masked):
    data = PictureDataset([masked(64, 64)], resolution=64, unmasked_weight=0.0)
    before = data[0]["loss_weights"]
    Image.fromarray(255 - _pattern(64, 64)).save(data.pictures[0].mask)
    assert torch.equal(data[0]["loss_weights"], 1 - before)


def test_of_class_pictures_all_counts(masked, tmp_path):
    picture = masked(64, 64)
    data = ConceptDataset(
        [Concept(tmp_path, "it")], [[picture]], resolution=64, unmasked_weight=0.0
    )
    data.class_datasets = [PictureDataset([picture], resolution=64)]
    sample = data[0]
    assert sample["loss_weights"].mean() < 0.6
    assert sample["class_loss_weights"].unique().tolist() == [1.0]
