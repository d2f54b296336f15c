import pytest

from sdtune._imports import DATASETS_AVAILABLE
from sdtune.data.scan import scan_folder
from sdtune.data.sources import dataset_rows
from sdtune.data.sources.dataset_rows import list_tables, needs_datasets
from sdtune.data.sources.source import Asked
from tests.data.sources.conftest import make_table, png

pytestmark = pytest.mark.skipif(not DATASETS_AVAILABLE, reason="datasets is not installed")


def cells(count):
    return [{"bytes": png(number), "path": None} for number in range(count)]


def found(listing):
    return [(each.name, list(each.captions)) for each in listing.pictures]


def test_columns_are_told_or_found_by_type_and_usual_name(tmp_path):
    asked = Asked(cache_dir=tmp_path)
    table = make_table(image=cells(1), note=["x"], prompt=["a cat"], id=[3])
    assert found(list_tables("it", {"train": table}, asked)) == [("000000.png", ["a cat"])]
    told = Asked(cache_dir=tmp_path, caption_column="note")
    assert found(list_tables("it", {"train": table}, told)) == [("000000.png", ["x"])]
    bytes_alone = make_table(jpg=[png(0)], blurb=["a cat"])
    assert found(list_tables("it", {"a": bytes_alone}, asked)) == [("000000.png", ["a cat"])]


@pytest.mark.parametrize(
    ("columns", "asked", "problem"),
    [
        (
            {"image": 1, "x": ["a"], "y": ["b"]},
            {},
            "it: it is not clear which of its columns (`image`, `x`, `y`) holds captions; name it "
            "by `data.caption_column`.",
        ),
        (
            {"x": ["a"]},
            {},
            "it: none of its columns (`x`) holds pictures; name the one that does by "
            "`data.image_column`.",
        ),
        (
            {"image": 1, "text": ["a"]},
            {"caption_column": "txt"},
            "it: has no column `txt`; give one of `image`, `text` as `data.caption_column`.",
        ),
        (
            {"image": 1, "text": ["a"]},
            {"image_column": "jpg"},
            "it: has no column `jpg`; give one of `image`, `text` as `data.image_column`.",
        ),
    ],
)
def test_columns_that_cannot_be_told_are_a_problem(columns, asked, problem):
    columns = {name: cells(1) if value == 1 else value for name, value in columns.items()}
    listing = list_tables("it", {"train": make_table(**columns)}, Asked(**asked))
    assert list(map(str, listing.problems)) == [problem]


def test_train_is_read_and_the_rest_is_said_or_all_where_there_is_none(tmp_path):
    one, two = (make_table(image=cells(1), text=[text]) for text in ("one", "two"))
    listing = list_tables("it", {"train": one, "test": two}, Asked(cache_dir=tmp_path))
    assert found(listing) == [("000000.png", ["one"])]
    assert listing.notes == ["it: only `train` is read, not test."]
    listing = list_tables("it", {"a": one, "b": two}, Asked(cache_dir=tmp_path))
    assert found(listing) == [("a/000000.png", ["one"]), ("b/000000.png", ["two"])]


def test_several_captions_and_none(tmp_path):
    table = make_table(image=cells(3), captions=[["one ", "two"], [], ["three"]])
    listing = list_tables("it", {"train": table}, Asked(cache_dir=tmp_path))
    assert found(listing) == [
        ("000000.png", ["one", "two"]),
        ("000001.png", []),
        ("000002.png", ["three"]),
    ]
    assert list(map(str, listing.problems)) == [
        "it/000001.png: has no caption in `captions`; write one."
    ]
    assert listing.notes == ["1 picture has several captions, of which each sample draws one."]


def test_rows_without_a_picture_or_with_the_name_of_one_elsewhere_are_problems(tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(png(0))
    rows = [{"bytes": None, "path": str(secret)}, {"bytes": None, "path": None}]
    table = make_table(image=rows, text=["a", "b"])
    listing = list_tables("it", {"train": table}, Asked(cache_dir=tmp_path / "cache"))
    assert listing.pictures == []
    assert not (tmp_path / "cache").exists()
    advice = "save the data set with its pictures."
    assert list(map(str, listing.problems)) == [
        f"it/000000: names the file {secret} and does not hold it; {advice}",
        f"it/000001: holds no picture; {advice}",
    ]


def test_the_library_is_named_where_it_is_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(dataset_rows, "DATASETS_AVAILABLE", False)
    assert list(map(str, needs_datasets("here", "a saved data set"))) == [
        'here: a saved data set is read by `datasets`; pip install "sdtune[data]".'
    ]
    (problem,) = scan_folder("owner/name").problems
    assert str(problem) == (
        "owner/name: there is no such folder; name the one with the pictures. For a data set of "
        'the hub: pip install "sdtune[data]".'
    )
    (tmp_path / "dataset_dict.json").write_text("{}")
    assert "a saved data set is read by `datasets`" in str(scan_folder(tmp_path).problems[0])
    assert "nested metadata is read" in str(scan_folder(tmp_path, source="imagefolder").problems[0])
