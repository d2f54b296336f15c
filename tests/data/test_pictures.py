import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from sdtune.data.buckets import BucketSettings
from sdtune.data.encoded import Encoded
from sdtune.data.pictures import PictureDataset
from sdtune.data.scan import scan_pictures
from sdtune.files.feature_store import FeatureStore


@pytest.fixture
def pictures(make_folder):
    return scan_pictures(make_folder(6, size=(24, 16)))[0]


class Encoder:
    """Stands for a VAE of factor 4; counts what it sees."""

    def __init__(self):
        self.calls = 0

    def __call__(self, pixel_values):
        assert pixel_values.shape[0] == 1
        self.calls += 1
        return torch.nn.functional.avg_pool2d(pixel_values, 4).repeat(1, 3, 1, 1)[:, :8]


def encoded_in(folder, encoder="vae"):
    return Encoded(FeatureStore(folder / "features"), encoder)


def test_a_sample_is_the_centre_of_its_picture(pictures):
    dataset = PictureDataset(pictures, resolution=16)
    sample = dataset[3]
    assert sample["caption"] == "a drawing of thing 3"
    assert (sample["index"], sample["name"]) == (3, "03.png")
    pixels = torch.from_numpy(np.array(Image.open(pictures[3].path))[:, 4:20])
    expected = pixels.permute(2, 0, 1) / 127.5 - 1
    torch.testing.assert_close(sample["pixel_values"], expected)


def test_draws_depend_on_seed_epoch_and_index_alone(pictures):
    options = {"resolution": 8, "crop": "random", "flip": True, "caption_dropout": 0.5}
    dataset = PictureDataset(pictures, **options, repeats=20, seed=1)
    again = PictureDataset(pictures, **options, repeats=20, seed=1)
    other = PictureDataset(pictures, **options, repeats=20, seed=2)
    for key in ((0, 5), (0, 11), (3, 5)):
        assert torch.equal(dataset[key]["pixel_values"], again[key]["pixel_values"])
        assert not torch.equal(dataset[key]["pixel_values"], other[key]["pixel_values"])
    # 5 and 11 show one picture
    assert not torch.equal(dataset[0, 5]["pixel_values"], dataset[0, 11]["pixel_values"])
    assert not torch.equal(dataset[0, 5]["pixel_values"], dataset[3, 5]["pixel_values"])


def test_flip_and_dropout_keep_to_their_shares(pictures):
    dataset = PictureDataset(pictures, resolution=16, flip=True, caption_dropout=0.25, repeats=100)
    plain = PictureDataset(pictures, resolution=16)
    samples = [dataset[1, index] for index in range(len(dataset))]
    dropped = sum(sample["caption"] == "" for sample in samples) / len(samples)
    assert dropped == pytest.approx(0.25, abs=0.06)
    flipped = 0
    for sample in samples:
        original = plain[sample["index"] % 6]["pixel_values"]
        mirrored = torch.equal(sample["pixel_values"], original.flip(-1))
        assert mirrored or torch.equal(sample["pixel_values"], original)
        flipped += mirrored
    assert flipped / len(samples) == pytest.approx(0.5, abs=0.07)


def test_captions_are_distinct_and_hold_the_dropped_one(pictures):
    doubled = pictures + pictures
    assert len(PictureDataset(doubled, resolution=8).captions()) == 6
    assert PictureDataset(pictures, resolution=8, caption_dropout=0.1).captions()[-1] == ""


def test_an_index_out_of_range_ends_iteration(pictures):
    assert len(list(PictureDataset(pictures, resolution=8, repeats=2))) == 12


def test_without_a_resolution_there_is_one_sentence(pictures):
    with pytest.raises(ValueError, match=r"Expected `data\.resolution` to be a number of pixels"):
        PictureDataset(pictures, resolution=None)[0]


def test_moments_stand_for_what_would_be_encoded(pictures, tmp_path):
    options = {"resolution": 16, "flip": True, "repeats": 3}
    dataset, plain = PictureDataset(pictures, **options), PictureDataset(pictures, **options)
    encoder = Encoder()
    dataset.encoded = encoded_in(tmp_path)
    dataset.encode(encoder, dataset.encoded)
    assert encoder.calls == 12
    for key in ((epoch, index) for epoch in range(2) for index in range(len(dataset))):
        cached, sample = dataset[key], plain[key]
        assert "pixel_values" not in cached
        assert torch.equal(cached["moments"], Encoder()(sample.pop("pixel_values")[None])[0])
        assert all(cached[name] == value for name, value in sample.items())


def test_only_what_is_missing_or_changed_is_encoded(make_folder, tmp_path):
    folder = make_folder(6)

    def calls(encoder_key="vae", resolution=16, **options):
        encoder = Encoder()
        dataset = PictureDataset(scan_pictures(folder)[0], resolution=resolution, **options)
        dataset.encode(encoder, encoded_in(tmp_path, encoder_key))
        return encoder.calls

    assert calls() == 6
    assert calls() == 0
    assert calls(resolution=8) == 6
    assert calls(encoder_key="another vae") == 6
    assert calls(flip=True) == 6
    Image.new("RGB", (24, 16), "red").save(folder / "02.png")  # edited in place
    assert calls() == 1
    Image.new("RGB", (30, 16), "red").save(folder / "02.png")
    assert calls() == 1
    shutil.copy(folder / "02.png", folder / "03.png")
    assert calls() == 0


def test_damaged_entries_are_encoded_again(pictures, tmp_path):
    dataset = PictureDataset(pictures, resolution=16)
    dataset.encoded = encoded_in(tmp_path)
    dataset.encode(Encoder(), dataset.encoded)
    before = [dataset[index]["moments"] for index in range(6)]
    (victim,) = (tmp_path / "features").iterdir()
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    for calls in (6, 0):
        encoder = Encoder()
        dataset.encoded = encoded_in(tmp_path)
        dataset.encode(encoder, dataset.encoded)
        assert encoder.calls == calls
        after = [dataset[index]["moments"] for index in range(6)]
        assert all(map(torch.equal, before, after))


def test_a_picture_that_changes_after_it_was_looked_at_is_not_encoded(pictures, tmp_path):
    Image.new("RGB", (24, 16), "white").save(pictures[2].path)
    dataset = PictureDataset(pictures, resolution=16)
    with pytest.raises(ValueError, match=r"02\.png to be as it was when it was looked at"):
        dataset.encode(Encoder(), encoded_in(tmp_path))


def test_latents_that_go_while_training_are_told(pictures, tmp_path):
    dataset = PictureDataset(pictures, resolution=16)
    dataset.encoded = encoded_in(tmp_path)
    dataset.encode(Encoder(), dataset.encoded)
    shutil.rmtree(tmp_path / "features")
    with pytest.raises(RuntimeError, match=r"00\.png in .*go on with `--resume`"):
        _ = dataset[0]


def test_latents_that_are_not_finite_name_the_picture(pictures, tmp_path):
    dataset = PictureDataset(pictures, resolution=16)
    with pytest.raises(ValueError, match=r"Expected finite latents.*00\.png"):
        dataset.encode(lambda pixels: pixels * float("nan"), encoded_in(tmp_path))
    assert not (tmp_path / "features").exists()


def test_of_random_crops_so_many_are_kept_as_asked_for(pictures, tmp_path):
    options = {"resolution": 16, "crop": "random", "flip": True, "repeats": 4}
    dataset, plain = (PictureDataset(pictures, cached_views=3, **options) for _ in range(2))
    encoder = Encoder()
    dataset.encoded = encoded_in(tmp_path)
    dataset.encode(encoder, dataset.encoded)
    assert encoder.calls == 18
    seen = {name: set() for name in (picture.name for picture in pictures)}
    for key in ((epoch, index) for epoch in range(3) for index in range(len(dataset))):
        sample, expected = dataset[key], plain[key]
        moments = Encoder()(expected.pop("pixel_values")[None])[0]
        assert torch.equal(sample.pop("moments"), moments)
        assert sample == expected
        seen[sample["name"]].add(moments.numpy().tobytes())
    assert {len(views) for views in seen.values()} == {3}
    anew = PictureDataset(pictures, **options)
    with pytest.raises(ValueError, match="Expected crops that are known before"):
        anew.encode(encoder, dataset.encoded)
    drawn = {anew[epoch, 0]["pixel_values"].numpy().tobytes() for epoch in range(12)}
    assert len(drawn) > 6


@pytest.fixture
def wide_and_tall(make_folder):
    wide = scan_pictures(make_folder(3, size=(178, 98), name="wide"))[0]
    tall = scan_pictures(make_folder(2, size=(150, 200), name="tall"))[0]
    return [wide[0], tall[0], wide[1], tall[1], wide[2]]


def test_each_picture_is_read_at_the_size_that_fits_it(wide_and_tall):
    dataset = PictureDataset(wide_and_tall, resolution=64, buckets=BucketSettings(), repeats=2)
    assert dataset.sizes() == [(80, 48), (56, 72), (80, 48), (56, 72), (80, 48)] * 2
    assert dataset[0]["pixel_values"].shape == (3, 48, 80)
    assert dataset[6]["pixel_values"].shape == (3, 72, 56)
    square = PictureDataset(wide_and_tall, resolution=64)
    assert set(square.sizes()) == {(64, 64)}
    # the resolution may come late, from the model
    dataset.resolution = 32
    assert dataset.sizes()[0] == (40, 24)


def test_a_sample_tells_its_picture_s_size_and_where_it_was_cut(wide_and_tall):
    dataset = PictureDataset(wide_and_tall, resolution=64, buckets=BucketSettings(), flip=True)
    sample = dataset[0]
    # resized to 48 high it is 87 wide, of which 80 are left: 3.6 are cut off on either side
    assert sample["original_size"] == (98, 178)
    assert sample["crop_top_left"] == (0, 4)
    assert sample["target_size"] == (48, 80)
    options = {"resolution": 64, "crop": "random", "repeats": 8}
    plain, mirrored = (PictureDataset(wide_and_tall, flip=f, **options) for f in (False, True))
    for index in range(40):
        (top, left), size = plain[index]["crop_top_left"], plain[index]["original_size"]
        across = round(size[1] * 64 / min(size)) - 64
        same = torch.equal(plain[index]["pixel_values"], mirrored[index]["pixel_values"])
        expected = left if same else across - left
        assert abs(mirrored[index]["crop_top_left"][1] - expected) <= 1
        assert mirrored[index]["crop_top_left"][0] == top


def test_pictures_that_stand_beside_others_are_encoded_at_their_sizes(wide_and_tall, tmp_path):
    dataset = PictureDataset(wide_and_tall, resolution=64)
    dataset.beside = [(80, 48), (56, 72)]
    dataset.encoded = encoded_in(tmp_path)
    dataset.encode(Encoder(), dataset.encoded)
    assert len(dataset.encoded.store) == 10
    for target in dataset.beside:
        moments = dataset.sample(0, 3, target)["moments"]
        assert moments.shape == (8, target[1] // 4, target[0] // 4)


def test_pictures_may_have_repeats_of_their_own(pictures):
    mixed = [replace(each, repeats=1 + place % 3) for place, each in enumerate(pictures)]
    dataset = PictureDataset(mixed, resolution=8, repeats=2)
    names = [dataset[0, index]["name"] for index in range(len(dataset))]
    rounds = [[each.name for each in mixed if 2 * each.repeats > k] for k in range(6)]
    assert names == [name for each in rounds for name in each]
    plain = PictureDataset(pictures, resolution=8, repeats=3)
    assert [plain[0, index]["name"] for index in range(18)] == [each.name for each in pictures] * 3
