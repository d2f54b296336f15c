import json

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


@pytest.mark.skipif(not DATASETS_AVAILABLE, reason="datasets is not installed")
@pytest.mark.parametrize(
    ("names", "read"),
    [
        (("beach", "dev-board", "garden [2024]"), 3),
        (("test shots", "validation"), 2),
        (("cars/bus", "cars/train"), 2),
        (("train", "test", "extra"), 1),
        (("data/train", "data/test"), 1),
    ],
)
def test_only_folders_called_as_splits_are_splits(write, tmp_path, names, read):
    folder = write(_sets(*names))
    scan = scan_folder(folder, cache_dir=tmp_path / "cache")
    assert [each.name for each in scan.pictures] == [
        f"{name}/{n}.png" for name in names[:read] for n in range(2)
    ]
    left = ", ".join(sorted(names[read:]))
    count = 2 * len(names[read:])
    assert scan.notes == (
        [f"{folder}: only `train` is read, not {left}; {count} pictures are left out there."]
        if left
        else []
    )


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
