import json
import unicodedata

import pytest

from sdtune._imports import DATASETS_AVAILABLE
from sdtune.data.scan import scan_folder
from sdtune.data.sources.imagefolder import ImageFolderSource

ROW = '{"file_name": "%s", "text": "one"}\n'


def test_what_is_recognised(write):
    source = ImageFolderSource()
    assert source.recognise(str(write({"a/b/metadata.csv": "x"}, "nested"))).certainty == 1
    assert source.recognise(str(write({"metadata.parquet": "x"}, "parquet"))).certainty == 2
    assert source.recognise(str(write({"metadata.jsonl": "x"}, "plain"))) is None
    assert source.recognise(str(write({"a/b/c/metadata.csv": "x"}, "deep"))) is None


@pytest.mark.skipif(not DATASETS_AVAILABLE, reason="datasets is not installed")
def test_a_file_name_that_leads_out_is_never_read(write, tmp_path):
    write({"secret.png": 0}, "elsewhere")
    folder = write({"train/a.png": 1, "train/metadata.jsonl": ROW % "../../elsewhere/secret.png"})
    scan = scan_folder(folder, cache_dir=tmp_path / "cache")
    assert scan.pictures == []
    assert scan.problems


@pytest.mark.skipif(not DATASETS_AVAILABLE, reason="datasets is not installed")
def test_changed_metadata_are_read_again(write, tmp_path):
    for text in ("one", "two"):
        rows = json.dumps({"file_name": "a.png", "text": text})
        folder = write({"train/a.png": 1, "train/metadata.jsonl": rows})
        scan = scan_folder(folder, cache_dir=tmp_path / "cache")
        assert [each.caption for each in scan.pictures] == [text]


@pytest.mark.skipif(not DATASETS_AVAILABLE, reason="datasets is not installed")
def test_a_folder_without_such_files_is_a_problem_where_it_is_forced(tmp_path):
    (problem,) = scan_folder(tmp_path / "gone", source="imagefolder").problems
    assert (
        str(problem) == f"{tmp_path}/gone: there is no such folder; name the one with the pictures."
    )


def _sets(*names):
    """Two pictures and their metadata in each of some folders."""
    files = {}
    for number, name in enumerate(names):
        files |= {f"{name}/{n}.png": 2 * number + n for n in range(2)}
        files[f"{name}/metadata.jsonl"] = ROW % "0.png" + ROW % "1.png"
    return files


NO_SPLITS = (
    "called as splits are, and trained on, for `train` and another split do not lie side by side "
    "there; move elsewhere what is to be held out."
)


@pytest.mark.skipif(not DATASETS_AVAILABLE, reason="datasets is not installed")
@pytest.mark.parametrize(
    ("names", "read", "told"),
    [
        (("beach", "dev-board", "garden [2024]"), 3, ""),
        (("contest", "developer", "restrained"), 3, ""),
        (("test shots", "validation"), 2, "validation is"),
        (("cars/bus", "cars/train"), 2, "cars/train is"),
        (("bus", "dev", "x/test"), 3, "dev, x/test are"),
        (("training",), 1, ""),
    ],
)
def test_only_folders_called_as_splits_are_splits(write, tmp_path, names, read, told):
    folder = write(_sets(*names))
    scan = scan_folder(folder, cache_dir=tmp_path / "cache")
    assert [each.name for each in scan.pictures] == [
        f"{name}/{n}.png" for name in names for n in range(2)
    ]
    assert scan.notes == ([f"{folder}: {told} {NO_SPLITS}"] if told else [])


@pytest.mark.skipif(not DATASETS_AVAILABLE, reason="datasets is not installed")
@pytest.mark.parametrize(
    ("names", "split"),
    [
        (("train", "test", "extra"), "train"),
        (("train", "extra"), "train"),
        (("Train", "Dev"), "Train"),
        (("training", "testing"), "training"),
        (("train2017", "val2017"), "train2017"),
        (("cats-train", "cats-test", "dogs-test"), "cats-train"),
        (("data/train", "data/test"), "train"),
        (("data/train", "data/val"), "train"),
        (("x/training", "x/evaluation", "train_images"), "training"),
    ],
)
def test_of_splits_that_for_training_alone_is_read(write, tmp_path, names, split):
    folder = write(_sets(*names))
    scan = scan_folder(folder, cache_dir=tmp_path / "cache")
    assert [each.name for each in scan.pictures] == [f"{names[0]}/{n}.png" for n in range(2)]
    left, count = ", ".join(sorted(names[1:])), 2 * len(names[1:])
    assert scan.notes == [
        f"{folder}: only `{split}` is read, not {left}; {count} pictures are left out there."
    ]


@pytest.mark.skipif(not DATASETS_AVAILABLE, reason="datasets is not installed")
def test_metadata_above_splits_are_read_for_that_of_training_alone(write, tmp_path):
    rows = ROW % "train/0.png" + '{"file_name": "val/1.png"}\n'
    folder = write({"x/train/0.png": 0, "x/val/1.png": 1, "x/metadata.jsonl": rows})
    scan = scan_folder(folder, cache_dir=tmp_path / "cache")
    assert ([each.name for each in scan.pictures], scan.problems) == (["x/train/0.png"], [])
    assert scan.notes == [
        f"{folder}: only `train` is read, not x/val; 1 picture is left out there."
    ]


@pytest.mark.skipif(not DATASETS_AVAILABLE, reason="datasets is not installed")
def test_pictures_without_a_row_are_told_beside_splits_too(write, tmp_path):
    folder = write({**_sets("train", "test"), "train/more.png": 9, "loose/1.png": 8})
    scan = scan_folder(folder, cache_dir=tmp_path / "cache")
    assert scan.notes == [
        f"{folder}: only `train` is read, not test; 2 pictures are left out there.",
        f"{folder}: the metadata name 2 of its pictures nowhere, and they are left out, such as "
        f"{folder}/loose/1.png.",
    ]


@pytest.mark.skipif(not DATASETS_AVAILABLE, reason="datasets is not installed")
def test_captions_beside_pictures_must_not_differ_from_metadata(write, tmp_path):
    files = {"train/0.txt": "another", "train/1.caption": "one", "train/classes.txt": "cat"}
    folder = write({**_sets("train"), **files})
    (problem,) = scan_folder(folder, cache_dir=tmp_path / "cache").problems
    assert str(problem) == (
        f"{folder}/train/0.png: its captions disagree, in files beside it and in metadata; keep "
        "one of them."
    )
    (folder / "train/1.caption").write_bytes(b"caf\xe9")
    skipped = scan_folder(folder, cache_dir=tmp_path / "cache", on_problem="skip")
    assert [each.about for each in skipped.problems] == [
        f"{folder}/train/1.caption",
        f"{folder}/train/0.png",
    ]
    assert not scan_folder(folder, caption="it", cache_dir=tmp_path / "cache").problems


@pytest.mark.skipif(not DATASETS_AVAILABLE, reason="datasets is not installed")
def test_a_mask_that_the_metadata_list_is_no_picture(write, tmp_path):
    files = {"train/a.png": 1, "train/a_mask.png": 0}
    files["train/metadata.jsonl"] = ROW % "a.png" + ROW % "a_mask.png"
    scan = scan_folder(write(files), cache_dir=tmp_path / "cache")
    [picture] = scan.pictures
    assert (picture.path.name, picture.mask.name) == ("a.png", "a_mask.png")


@pytest.mark.skipif(not DATASETS_AVAILABLE, reason="datasets is not installed")
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_metadata_and_files_may_write_accents_in_other_forms(write, tmp_path, form):
    other = {"NFC": "NFD", "NFD": "NFC"}[form]
    there, told = (unicodedata.normalize(each, "Bäume/café") for each in (form, other))
    rows = "".join(ROW % f"{name}.png" for name in (told, there))  # of one file
    beside = f"x/{there.split('/')[0]}/{told.split('/')[1]}"
    files = {f"x/{there}.png": 1, f"{beside}_mask.png": 0, "x/metadata.jsonl": rows}
    scan = scan_folder(write({**files, f"{beside}.txt": "one"}), cache_dir=tmp_path / "cache")
    [picture] = scan.pictures
    assert (picture.name, picture.captions) == (f"x/{there}.png", ("one",))
    assert picture.path.is_file()
    assert picture.mask.is_file()
    assert (scan.problems, len(scan.notes)) == ([], 1)  # that on masks
    folder = write({f"{beside}.txt": "another"})
    [problem] = scan_folder(folder, cache_dir=tmp_path / "cache").problems
    assert str(problem).startswith(f"{folder}/x/{there}.png: its captions disagree")


@pytest.mark.skipif(not DATASETS_AVAILABLE, reason="datasets is not installed")
def test_no_form_of_accents_leads_out_of_the_folder(write, tmp_path):
    write({"secret.png": 0}, "elsewhere")
    there, told = (unicodedata.normalize(each, "café.png") for each in ("NFD", "NFC"))
    folder = write(
        {f"x/{there}": tmp_path / "elsewhere/secret.png", "x/metadata.jsonl": ROW % told}
    )
    scan = scan_folder(folder, cache_dir=tmp_path / "cache")
    assert scan.pictures == []
    assert "lies outside of" in str(scan.problems[0])
