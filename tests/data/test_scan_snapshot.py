import os
from dataclasses import replace

import pytest
from PIL import Image

from sdtune.data import scan as scan_module
from sdtune.data.scan import scan_folder


@pytest.fixture
def kept(monkeypatch):
    monkeypatch.setattr(scan_module, "KEPT_ABOVE", 2)


@pytest.fixture
def scans(monkeypatch):
    """Folders that were scanned and not remembered."""
    seen = []
    scan = scan_module._scan
    monkeypatch.setattr(
        scan_module, "_scan", lambda folder, *rest: (seen.append(folder), scan(folder, *rest))[1]
    )
    return seen


def _folder(make_folder):
    folder = make_folder(5)
    (folder / "sub").mkdir()
    (folder / "04.png").rename(folder / "sub" / "04.png")
    (folder / "04.txt").rename(folder / "sub" / "04.txt")
    Image.new("L", (24, 16)).save(folder / "02_mask.png")
    (folder / "notes.pdf").touch()
    return folder


def test_a_large_set_is_remembered_whole(make_folder, kept, scans, tmp_path):
    folder = _folder(make_folder)
    first = scan_folder(folder, cache_dir=tmp_path / "cache")
    again = scan_folder(folder, cache_dir=tmp_path / "cache")
    assert len(scans) == 1
    assert again == first
    assert list(again.passed_over) == list(first.passed_over) == [folder / "notes.pdf"]
    assert {picture.mask for picture in again.pictures} == {None, folder / "02_mask.png"}
    # asked in another way it is another scan
    scan_folder(folder, "a caption for all", tmp_path / "cache")
    scan_folder(folder, cache_dir=tmp_path / "cache", on_problem="skip")
    assert len(scans) == 3


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "00.txt").write_text("another caption"),
        lambda folder: Image.new("RGB", (8, 8)).save(folder / "sub" / "04.png"),
        lambda folder: (folder / "01.txt").unlink(),
        lambda folder: (folder / "new.png").symlink_to("00.png"),
        lambda folder: (folder / "02_mask.png").rename(folder / "03_mask.png"),
        lambda folder: os.utime(folder / "03.png", ns=(1, 1)),
        lambda folder: (folder / "linked").symlink_to("sub"),
    ],
    ids=["caption", "picture", "deleted", "added", "renamed", "time", "linked folder"],
)
def test_any_change_below_the_folder_is_noticed(make_folder, kept, scans, tmp_path, change):
    folder = _folder(make_folder)
    scan_folder(folder, cache_dir=tmp_path / "cache")
    change(folder)
    found = scan_folder(folder, cache_dir=tmp_path / "cache")
    assert len(scans) == 2
    assert found == scan_folder(folder, cache_dir=tmp_path / "fresh")


def test_what_changes_during_a_scan_is_noticed_later(make_folder, kept, monkeypatch, tmp_path):
    folder = _folder(make_folder)
    scan = scan_module._scan

    def changing(*arguments):
        found = scan(*arguments)
        (folder / "00.txt").write_text("changed meanwhile")
        return found

    monkeypatch.setattr(scan_module, "_scan", changing)
    scan_folder(folder, cache_dir=tmp_path / "cache")
    monkeypatch.setattr(scan_module, "_scan", scan)
    found = scan_folder(folder, cache_dir=tmp_path / "cache")
    assert found.pictures[0].caption == "changed meanwhile"


def test_a_damaged_memory_and_a_set_with_problems_are_scanned(make_folder, kept, scans, tmp_path):
    folder = _folder(make_folder)
    scan_folder(folder, cache_dir=tmp_path / "cache")
    (path,) = (tmp_path / "cache" / "manifests").glob("*.scan.json")
    path.write_text("\n".join(path.read_text().splitlines()[:2]))
    assert len(scan_folder(folder, cache_dir=tmp_path / "cache").pictures) == 5
    assert len(scans) == 2
    (folder / "00.png").write_bytes(b"no picture")
    for _ in range(2):
        assert len(scan_folder(folder, cache_dir=tmp_path / "cache").problems) == 1
    assert len(scans) == 4


def test_what_was_left_out_is_remembered(make_folder, kept, scans, tmp_path):
    folder = _folder(make_folder)
    (folder / "00.png").write_bytes(b"no picture")
    first, again = (
        scan_folder(folder, cache_dir=tmp_path / "cache", on_problem="skip") for _ in range(2)
    )
    assert len(scans) == 1
    assert len(again.left_out) == 1
    assert replace(again, passed_over=()) == replace(first, passed_over=())
