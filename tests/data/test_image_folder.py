import os

import numpy as np
import pytest
from PIL import Image

from sdtune.data.decoding import PictureError
from sdtune.data.image_folder import (
    check_picture,
    find_pictures,
    holds_pictures,
    linked_folders,
    list_files,
    one_walk,
    picture_size,
)


def test_pictures_are_found_at_any_depth_and_sorted(tmp_path):
    for name in ("b.PNG", "a.jpg", "sub/c.webp", ".hidden.png", ".cache/d.png", "__MACOSX/e.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "notes.md").touch()
    names = [path.relative_to(tmp_path).as_posix() for path in find_pictures(tmp_path)]
    assert names == ["a.jpg", "b.PNG", "sub/c.webp"]


def test_size_is_measured_anew_when_the_file_changes(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (8, 4)).save(path)
    assert picture_size(path) == (8, 4)
    Image.new("RGB", (9, 5)).save(path)
    os.utime(path, ns=(1, 1))
    assert picture_size(path) == (9, 5)


def test_a_cut_off_picture_has_a_size_but_does_not_pass_the_check(tmp_path):
    path = tmp_path / "cut.png"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    assert check_picture(path) == picture_size(path) == (64, 64)
    path.write_bytes(path.read_bytes()[:5000])
    assert picture_size(path) == (64, 64)
    with pytest.raises(PictureError, match=r"cut\.png: does not open: .*truncated"):
        check_picture(path)
    with pytest.raises(PictureError, match=r"gone\.png: does not open: there is no such file"):
        picture_size(tmp_path / "gone.png")


def test_a_folder_is_walked_once_for_all_that_ask_meanwhile(tmp_path, monkeypatch):
    for name in ("a.png", "a.txt", "sub/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    looked = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: (looked.append(path), scandir(path))[1])
    with one_walk():
        pictures = find_pictures(tmp_path)
        assert list_files(tmp_path) == [tmp_path / "a.png", tmp_path / "a.txt", pictures[1]]
        assert looked == [tmp_path, tmp_path / "sub"]
        (tmp_path / "c.png").touch()
        assert find_pictures(tmp_path) == pictures
    assert len(find_pictures(tmp_path)) == 3


def test_a_link_to_itself_hides_no_other_file(tmp_path):
    (tmp_path / "a.png").symlink_to("a.png")
    (tmp_path / "b.png").touch()
    assert find_pictures(tmp_path) == [tmp_path / "a.png", tmp_path / "b.png"]


def test_links_to_folders_are_listed_and_not_walked(tmp_path):
    (tmp_path / "else" / "deep").mkdir(parents=True)
    (tmp_path / "else" / "deep" / "b.png").touch()
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.png").touch()
    (folder / "sub" / "more").symlink_to(tmp_path / "else")
    (folder / "circle").symlink_to(folder)
    (folder / "broken").symlink_to(tmp_path / "gone")
    (folder / ".hidden").symlink_to(tmp_path / "else")
    links = [folder / "circle", folder / "sub" / "more"]
    assert linked_folders(folder) == links
    assert find_pictures(folder) == [folder / "a.png"]
    assert all(map(holds_pictures, links))
    assert not holds_pictures(folder / "sub")
    with one_walk():
        assert find_pictures(folder) == [folder / "a.png"]
        assert linked_folders(folder) == links


def test_a_folder_that_may_not_be_read_is_told(tmp_path, monkeypatch, caplog):
    (tmp_path / "a.png").touch()
    (tmp_path / "sub").mkdir()
    scandir = os.scandir

    def refuse(path):
        if path == tmp_path / "sub":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert find_pictures(tmp_path) == [tmp_path / "a.png"]
    assert f"{tmp_path / 'sub'} cannot be read (Permission denied); what is in it" in caplog.text
