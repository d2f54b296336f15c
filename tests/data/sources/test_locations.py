import os

import pytest

from sdtune.data.problems import DataError
from sdtune.data.scan import scan_folder
from sdtune.data.sources import registry
from sdtune.data.sources.locations import check_location, list_location, plain_location
from sdtune.data.sources.picture_store import PictureStore
from sdtune.data.sources.source import Asked, Listing, Sign
from sdtune.data.style import StyleDataModule


def test_repeats_are_multiplied_and_shown_in_rounds(write, shard, tmp_path):
    here = write({"a/0.png": 0, "a/0.txt": "a", "kohya/3_b/0.png": 1, "kohya/1_c/0.png": 2})
    data = StyleDataModule(
        {here / "a": 4, here / "kohya": 2},
        resolution=16,
        repeats=2,
        cache_dir=tmp_path / "cache",
    )
    assert data.hparams["folder"] == {str(here / "a"): 4, str(here / "kohya"): 2}
    captions = [data.train_dataset[0, index]["caption"] for index in range(len(data.train_dataset))]
    counts = {"a": 8, "c": 4, "b": 12}
    assert captions == [
        caption for k in range(12) for caption, repeats in counts.items() if repeats > k
    ]
    data = StyleDataModule({here / "a": 4, here / "kohya": 2}, resolution=16, validation_count=2)
    assert len(data.val_dataset) == 2  # each once
    assert len(data.train_dataset) in counts.values() or len(data.train_dataset) in (4, 2, 6)


def test_problems_of_all_are_listed(write):
    here = write({"a/0.png": 0, "a/0.txt": "a", "a/sub/1.png": 1, "a/sub/1.txt": "b"})
    location = {str(here / "a"): 1, str(here / "a" / "sub"): 1, str(here / "gone"): 1}
    problems = StyleDataModule(location).problems()
    assert problems == [
        f"{here}/a/sub: lies within {here}/a, so that its pictures would be taken twice; name one.",
        f"{here}/gone: there is no such folder; name the one with the pictures.",
    ]
    with pytest.raises(DataError):
        StyleDataModule(location).setup()


def test_pictures_of_folders_far_apart_are_named_below_what_they_share(write, monkeypatch):
    here = write({"a/pictures/0.png": 0, "b/pictures/0.png": 1})
    monkeypatch.chdir(here)
    parts = list_location({"a/pictures": 1, here / "b" / "pictures": 2}, Asked(caption=""))
    assert [part.prefix for part in parts] == ["a/pictures/", "b/pictures/"]
    scan = scan_folder({"a/pictures": 1, str(here / "b" / "pictures"): 2}, caption="")
    assert [each.name for each in scan.pictures] == ["a/pictures/0.png", "b/pictures/0.png"]


def test_repeats_are_checked():
    check_location("folder", "anything")
    with pytest.raises(ValueError, match="Expected `folder` to hold a folder or more, but got n"):
        check_location("folder", {})
    with pytest.raises(ValueError, match="positive integer, but got 0 for b, -1 for c"):
        StyleDataModule({"a": 1, "b": 0, "c": -1})
    assert plain_location({"a": 2}) == {"a": 2}


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="everything is readable here")
def test_what_cannot_be_read_is_a_problem(write):
    here = write({"1_a/0.png": 0})
    (here / "1_a").chmod(0)
    (problem,) = scan_folder(here, source="kohya").problems
    assert "cannot be read" in str(problem)


def test_a_cache_that_cannot_be_written_to_is_a_problem(write, tmp_path, monkeypatch):
    """Pictures in tables go there."""

    class Table:
        name, title = "table", "a table"

        def list(self, location, asked):
            path = PictureStore(asked.cache_dir).put(b"a picture")
            return Listing(path.parent, [])

        def recognise(self, location):
            return Sign("a table", 2)

    monkeypatch.setattr(registry, "SOURCES", {"table": Table()})
    (tmp_path / "file").touch()
    here = write({"0.png": 0})
    (problem,) = scan_folder(here, cache_dir=tmp_path / "file").problems
    assert str(problem).startswith(f"{here}: cannot be read (")
    assert "Not a directory" in str(problem)


@pytest.mark.parametrize("location", ["", " "])
def test_a_location_has_a_name(location):
    with pytest.raises(ValueError, match="Expected `folder` to name a folder, but got"):
        StyleDataModule(location)


def test_a_file_is_told_from_a_missing_folder(tmp_path):
    (tmp_path / "a.png").touch()
    (problem,) = scan_folder(tmp_path / "a.png").problems
    assert str(problem).startswith(f"{tmp_path / 'a.png'}: is a file, and there is no such folder")
