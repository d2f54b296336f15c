from __future__ import annotations

from pathlib import Path

from sdtune.files.folder_tree import files_below, remove_empty_folders


def test_files_are_listed_in_order(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("c", "b/a", "a"):
        (tmp_path / name).touch()
    assert files_below(tmp_path) == [tmp_path / "a", tmp_path / "b" / "a", tmp_path / "c"]
    assert files_below(tmp_path / "a") == [tmp_path / "a"]
    assert files_below(tmp_path / "nowhere") == []


def test_what_holds_something_and_links_stay(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "folder", tmp_path / "elsewhere"
    (folder / "empty" / "too").mkdir(parents=True)
    elsewhere.mkdir()
    (folder / "link").symlink_to(elsewhere)
    remove_empty_folders(folder)
    assert list(folder.iterdir()) == [folder / "link"]
    (folder / "link").unlink()
    remove_empty_folders(folder)
    assert not folder.exists()
    assert elsewhere.is_dir()
    remove_empty_folders(folder)  # which is gone
