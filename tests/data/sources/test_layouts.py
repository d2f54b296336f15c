"""Twelve ways in which people keep pictures, and what is found in each."""

import json

import pytest

from sdtune._imports import DATASETS_AVAILABLE
from sdtune.data.scan import scan_folder
from tests.data.sources.conftest import make_table, png

LINES = '{"file_name": "a.png", "text": "one"}\n{"file_name": "sub/b.png", "text": "two"}\n'
NESTED = '{"file_name": "a.png", "blurb": "%s"}\n'
A_SHARD = {"0.png": png(0), "0.txt": "one", "1.png": png(1), "1.json": '{"text": "two"}'}


def seen(scan):
    return [(each.name, each.caption, each.repeats) for each in scan.pictures]


def test_1_sidecars(write):
    folder = write({"a.png": 0, "a.txt": "one", "sub/b.png": 1, "sub/b.caption": "two"})
    scan = scan_folder(folder)
    assert seen(scan) == [("a.png", "one", 1), ("sub/b.png", "two", 1)]
    assert scan.lines("data.folder") == ["data.folder: a folder of pictures, 2 pictures"]


def test_2_metadata_jsonl(write):
    scan = scan_folder(write({"a.png": 0, "sub/b.png": 1, "metadata.jsonl": LINES}))
    assert seen(scan) == [("a.png", "one", 1), ("sub/b.png", "two", 1)]
    assert scan.problems == []


def test_3_metadata_csv_with_a_column_of_another_name(write):
    folder = write({"a.png": 0, "metadata.csv": "file_name,blurb\na.png,one\n"})
    assert seen(scan_folder(folder, caption_column="blurb")) == [("a.png", "one", 1)]
    (wrong, bare) = scan_folder(folder).problems
    assert "metadata.csv:2: holds no `file_name` and `text`" in wrong
    assert "none of its 1 pictures has a caption" in bare


def test_4_several_folders_with_repeats(write):
    write({"cat/0.png": 0, "cat/0.txt": "a cat"})
    here = write({"x/dog/0.png": 1, "x/dog/0.txt": "a dog"})
    scan = scan_folder({str(here / "cat"): 10, str(here / "x" / "dog"): 5})
    assert seen(scan) == [("cat/0.png", "a cat", 10), ("x/dog/0.png", "a dog", 5)]
    assert scan.found == "2 locations with repeats 10, 5 (a folder of pictures), 2 pictures"


def test_5_kohyas_folders(write):
    folder = write(
        {
            "10_sks cat/0.png": 0,
            "10_sks cat/1.png": 1,
            "10_sks cat/1.caption": "it sleeps",
            "5_a_dog/0.png": 2,
            "5_a_dog/0.txt": "it runs",
            "notes/0.png": 3,
            "2024/0.png": 4,
        }
    )
    scan = scan_folder(folder)
    assert seen(scan) == [
        ("10_sks cat/0.png", "sks cat", 10),
        ("10_sks cat/1.png", "it sleeps", 10),
        ("5_a_dog/0.png", "it runs", 5),
    ]
    line, note = scan.lines("data.folder")
    assert line == "data.folder: kohya's folders, 2 subjects with repeats 10 and 5, 3 pictures"
    assert note == (
        f"data.folder: {folder}: 2024, notes are left out, for the name does not begin with a "
        "number of repeats and `_`."
    )
    assert scan.problems == []


def test_6_masks_beside_pictures(write):
    folder = write(
        {
            **{"a.png": 0, "a_mask.png": 1, "b.jpg": 2, "b-masklabel.png": 3, "mask/c.png": 4},
            **{"c.png": 5, "lone_mask.png": 6, "mask/lone.png": 7},
        }
    )
    scan = scan_folder(folder, caption="it")
    masks = {each.name: each.mask for each in scan.pictures}
    assert masks == {
        "a.png": folder / "a_mask.png",
        "b.jpg": folder / "b-masklabel.png",
        "c.png": folder / "mask" / "c.png",
        "lone_mask.png": None,
        "mask/lone.png": None,
    }
    assert scan.notes == [
        "3 masks lie beside pictures; they count where `data.unmasked_weight` is given."
    ]


needs_datasets = pytest.mark.skipif(not DATASETS_AVAILABLE, reason="datasets is not installed")


@needs_datasets
def test_7_imagefolder_with_nested_metadata(write, tmp_path):
    folder = write(
        {
            "train/a.png": 0,
            "train/metadata.jsonl": NESTED % "one",
            "test/a.png": 1,
            "test/metadata.jsonl": NESTED % "two",
        }
    )
    scan = scan_folder(folder, cache_dir=tmp_path / "cache")
    assert seen(scan) == [("train/a.png", "one", 1)]
    assert scan.pictures[0].path == folder / "train" / "a.png"
    assert scan.found == (
        "Hugging Face's imagefolder, pictures in `image`, captions in `blurb`, 1 picture"
    )
    assert scan.notes == [f"{folder}: only `train` is read, not test."]


@needs_datasets
def test_8_imagefolder_with_parquet(write, tmp_path):
    import pyarrow
    from pyarrow import parquet

    folder = write({"a.png": 0, "b.png": 1})
    rows = {"file_name": ["a.png", "b.png"], "caption": ["one", "two"], "artist": ["x", "y"]}
    parquet.write_table(pyarrow.table(rows), folder / "metadata.parquet")
    scan = scan_folder(folder, cache_dir=tmp_path / "cache")
    assert sorted(seen(scan)) == [("a.png", "one", 1), ("b.png", "two", 1)]
    by_artist = scan_folder(folder, cache_dir=tmp_path / "cache", caption_column="artist")
    assert sorted(each.caption for each in by_artist.pictures) == ["x", "y"]


@needs_datasets
def test_9_a_saved_dataset(tmp_path):
    cells = [{"bytes": png(0), "path": "x.png"}, {"bytes": png(1), "path": None}]
    make_table(image=cells, text=["a", "b"]).save_to_disk(tmp_path / "saved")
    scan = scan_folder(tmp_path / "saved", cache_dir=tmp_path / "cache")
    assert seen(scan) == [("000000.png", "a", 1), ("000001.png", "b", 1)]
    for number, picture in enumerate(scan.pictures):
        assert picture.path.parent == tmp_path / "cache" / "pictures"
        assert picture.path.name == f"{picture.sha256}.png"
        assert picture.path.read_bytes() == png(number)
    assert scan.found.startswith("a data set saved by `datasets`, pictures in `image`, captions in")


@needs_datasets
def test_10_the_hub_without_a_network_is_one_sentence():
    (problem,) = scan_folder("nobody/has_this").problems
    assert problem.startswith(
        "nobody/has_this: there is no such folder; name the one with the pictures. As a data set "
        "of the hub it is not in the local cache and cannot be downloaded ("
    )


def test_11_a_shard(shard, tmp_path):
    path = shard(A_SHARD)
    scan = scan_folder(path, cache_dir=tmp_path / "cache")
    assert seen(scan) == [("shard-0.png", "one", 1), ("shard-1.png", "two", 1)]
    assert [each.path.read_bytes() for each in scan.pictures] == [png(0), png(1)]
    assert scan.found == "WebDataset shards, 1 shard, 2 pictures"


def test_12_several_shards(shard, tmp_path):
    for number in range(3):
        data = {"00.png": png(number), "00.txt": f"number {number}"}
        shard(data, f"shards/cats-{number:03}.tar")
    expected = [(f"cats-{number:03}-00.png", f"number {number}", 1) for number in range(3)]
    for location in ("shards", "shards/cats-{000..002}.tar", "shards/cats-{000,001,002}.tar"):
        scan = scan_folder(tmp_path / location, cache_dir=tmp_path / "cache")
        assert seen(scan) == expected
        assert scan.problems == []
    (problem,) = scan_folder(f"{tmp_path}/shards/cats-{{002..003}}.tar").problems
    assert problem == (
        f"{tmp_path}/shards/cats-003.tar: there is no such shard; copy it there, or name others."
    )


def test_two_layouts_at_once_are_said(write, shard, tmp_path):
    folder = write({"1_cat/0.png": 0, "1_cat/metadata.jsonl": json.dumps({}), "top.png": 1})
    scan = scan_folder(folder)
    assert seen(scan) == [("1_cat/0.png", "cat", 1)]
    line, note = scan.lines("data.folder")
    assert line == (
        "data.folder: kohya's folders (it looks like `imagefolder` (1_cat/metadata.jsonl) too: "
        "`data.source` chooses), 1 subject with repeats 1, 1 picture"
    )
    assert "1 pictures do not lie in a folder `<repeats>_<name>` itself and are left out" in note


def test_metadata_in_the_folder_itself_go_before_names_and_a_source_before_both(write):
    rows = '{"file_name": "2_cat/0.png", "text": "one"}'
    folder = write({"2_cat/0.png": 0, "metadata.jsonl": rows})
    assert seen(scan_folder(folder)) == [("2_cat/0.png", "one", 1)]
    assert seen(scan_folder(folder, source="kohya")) == [("2_cat/0.png", "cat", 2)]


def test_one_caption_for_all_reads_none(write, shard, tmp_path):
    for location in (write({"3_cat/0.png": 0}), shard({"0.png": png(0)})):
        scan = scan_folder(location, "it", tmp_path / "cache")
        assert [each.caption for each in scan.pictures] == ["it"]
        assert scan.problems == []
