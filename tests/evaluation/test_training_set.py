import tarfile

import pytest
from PIL import Image

from sdtune.data.pictures import Picture
from sdtune.evaluation.training_set import TrainingSet


def write_pictures(folder, count, size=(12, 8)):
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new("RGB", size, (number * 20, 0, 255)).save(folder / f"{number:02d}.png")
    return folder


def test_a_folder_with_some_captions(tmp_path):
    write_pictures(tmp_path, 3)
    (tmp_path / "01.txt").write_text("a cat")
    training = TrainingSet.from_folder(tmp_path)
    assert training.names == ["00.png", "01.png", "02.png"]
    assert [each.caption for each in training.pictures] == ["", "a cat", ""]
    described = training.describe()
    assert (described.folder, described.count) == (str(tmp_path), 3)
    write_pictures(tmp_path, 4)
    assert TrainingSet.from_folder(tmp_path).describe().sha256 != described.sha256


def test_pictures_that_were_held_out_are_known_in_any_form_of_their_accents(tmp_path):
    folder = write_pictures(tmp_path, 3)
    next(iter(folder.glob("*.png"))).rename(folder / "cafe\u0301.png")
    training = TrainingSet.from_folder(folder, held_out=["caf\u00e9.png"])
    assert [each.name for each in training.held_out] == ["cafe\u0301.png"]
    assert len(training.pictures) == 2


def test_pictures_are_read_as_a_model_sees_them(tmp_path):
    training = TrainingSet.from_folder(write_pictures(tmp_path, 20))
    batches = list(training.read(training.pictures, (8, 8)))
    assert [tuple(each.shape) for each in batches] == [(16, 3, 8, 8), (4, 3, 8, 8)]
    assert batches[0][3, :, 0, 0].tolist() == pytest.approx([60 / 255, 0, 1])


def test_pictures_are_compared_in_the_shape_of_samples(tmp_path):
    training = TrainingSet.from_folder(write_pictures(tmp_path, 2, size=(89, 49)))
    (batch,) = training.read(training.pictures, (80, 48))
    assert tuple(batch.shape) == (2, 3, 48, 80)
    assert training.kept((80, 48)) == pytest.approx(80 / 48 * 49 / 89)
    assert training.kept((64, 64)) == pytest.approx(49 / 89)


def test_captions_are_spread_over_the_set(tmp_path):
    pictures = [Picture(tmp_path / f"{n}.png", f"{n}.png", f"a {n}") for n in range(10)]
    training = TrainingSet(pictures)
    assert [each.caption for each in training.captioned(3)] == ["a 0", "a 3", "a 6"]
    assert len(training.captioned(40)) == 10
    assert training.captioned(1) == []


def test_pictures_of_two_folders_are_named_below_both(tmp_path):
    training = TrainingSet(
        [Picture(tmp_path / name / "1.png", "1.png", "a") for name in ("cat", "dog")]
    )
    assert training.folder == tmp_path
    assert training.names == ["cat/1.png", "dog/1.png"]


def test_fewer_than_two_pictures_is_one_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"two training pictures .* but got 1 in .*few: add"):
        TrainingSet.from_folder(write_pictures(tmp_path / "few", 1))
    with pytest.raises(ValueError, match="there is no such folder"):
        TrainingSet.from_folder(tmp_path / "none")


def test_pictures_of_any_source_are_read_and_the_record_says_how(tmp_path):
    write_pictures(tmp_path / "10_cat", 2)
    write_pictures(tmp_path / "3_dog", 1)
    training = TrainingSet.from_folder(tmp_path)
    assert [each.caption for each in training.pictures] == ["cat", "cat", "dog"]
    assert training.describe().reading is None
    training = TrainingSet.from_folder(tmp_path, source="folder")
    assert [each.caption for each in training.pictures] == ["", "", ""]
    described = training.describe()
    assert described.folder == str(tmp_path)
    assert described.reading == {"folder": str(tmp_path), "source": "folder"}


def test_pictures_out_of_an_archive_are_recorded_by_the_archive(tmp_path):
    write_pictures(tmp_path / "pictures", 3)
    shard = tmp_path / "shard.tar"
    with tarfile.open(shard, "w") as archive:
        for path in sorted((tmp_path / "pictures").iterdir()):
            archive.add(path, path.name)
    training = TrainingSet.from_folder(shard)
    assert [each.caption for each in training.pictures] == ["", "", ""]
    described = training.describe()
    assert (described.folder, described.count, described.reading) == (str(shard), 3, None)
    assert TrainingSet.from_folder(described.folder).describe() == described


def test_several_folders_are_named_below_what_they_share(tmp_path, monkeypatch):
    location = {str(write_pictures(tmp_path / name / "pictures", 1)): 2 for name in ("a", "b")}
    training = TrainingSet.from_folder(location)
    assert training.names == ["a/pictures/00.png", "b/pictures/00.png"]
    described = training.describe()
    assert (described.folder, described.reading) == (str(tmp_path), {"folder": location})
    monkeypatch.chdir(tmp_path / "a")
    assert TrainingSet.from_folder({"pictures": 1, "../b/pictures": 1}).describe().count == 2
