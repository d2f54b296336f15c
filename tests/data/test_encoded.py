from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sdtune.data import encoded
from sdtune.data.encoded import Encoded, Part, at_once, encode_parts, latent_key
from sdtune.data.pictures import PictureDataset
from sdtune.data.scan import scan_pictures
from sdtune.files.feature_store import FeatureStore

PART = Part(Path("a.png"), "00" * 32, (8, 8), (0.0, 0.0, 8.0, 8.0), False)


def test_everything_that_goes_in_changes_the_key():
    changes = [
        {"sha256": "01" * 32},
        {"target": (16, 16)},
        {"box": (0.0, 1.0, 8.0, 8.0)},
        {"flipped": True},
    ]
    keys = {latent_key(replace(PART, **change), "vae") for change in changes}
    keys |= {latent_key(PART, "vae"), latent_key(PART, "another vae")}
    assert len(keys) == 6
    assert {len(key) for key in keys} == {32}
    assert latent_key(replace(PART, path=Path("moved.png")), "vae") == latent_key(PART, "vae")


def test_on_a_gpu_parts_of_about_equal_area_go_together():
    assert at_once((512, 512), "cpu") == 1
    sizes = [(64, 64), (512, 512), (640, 384), (1024, 1024), (4096, 4096)]
    assert [at_once(size, "cuda") for size in sizes] == [16, 8, 8, 2, 1]


@pytest.mark.parametrize("fails", [False, True])
def test_batches_are_whole_and_of_one_size(make_folder, tmp_path, monkeypatch, fails):
    monkeypatch.setattr(encoded, "at_once", lambda target, device: 4)
    pictures = scan_pictures(make_folder(10, (24, 16)))[0]
    pictures += scan_pictures(make_folder(3, (16, 24), name="tall"))[0]
    shapes = []

    def encode(pixel_values):
        shapes.append(tuple(pixel_values.shape))
        if fails and len(shapes) == 3:
            raise KeyboardInterrupt
        return pixel_values[:, :, ::4, ::4]

    plain, dataset = (PictureDataset(pictures, resolution=16) for _ in range(2))
    dataset.encoded = Encoded(FeatureStore(tmp_path / "features"), "vae")
    if fails:
        with pytest.raises(KeyboardInterrupt):
            dataset.encode(encode, dataset.encoded)
        # what was encoded before is kept
        assert len(FeatureStore(tmp_path / "features")) == 8
        return
    dataset.encode(encode, dataset.encoded)
    assert shapes == [(4, 3, 16, 16)] * 4
    for index in range(13):
        expected = plain[index]["pixel_values"][:, ::4, ::4]
        assert torch.equal(dataset[index]["moments"], expected)


def test_parts_that_are_alike_are_encoded_once(make_folder, tmp_path):
    pictures = scan_pictures(make_folder(2))[0] * 3
    dataset = PictureDataset(pictures, resolution=8)
    calls = []

    def encode(pixel_values):
        calls.append(len(pixel_values))
        return pixel_values

    target = Encoded(FeatureStore(tmp_path / "features"), "vae")
    encode_parts(dataset._parts(range(6)), 6, encode, target)
    assert calls == [1, 1]
