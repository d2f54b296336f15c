from sdtune.files import new_file
from sdtune.files.new_file import closed_folder_problem, new_file_problem


def test_what_is_in_the_way_is_named(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    (tmp_path / "good").symlink_to(tmp_path / "folder")
    assert new_file_problem(tmp_path / "new") is None
    assert new_file_problem(tmp_path / "not" / "yet" / "there") is None
    assert new_file_problem(tmp_path / "good" / "new") is None
    assert "not to exist, but it does" in new_file_problem(tmp_path / "file")
    assert "but it is a link to nothing" in new_file_problem(tmp_path / "link")
    for name, what in (("file", "no folder"), ("link", "a link to nothing")):
        found = new_file_problem(tmp_path / name / "a" / "b")
        assert found.endswith(f"but `{tmp_path / name}` is {what}: name another.")


def test_a_folder_that_takes_no_file_is_named(tmp_path, monkeypatch):
    assert closed_folder_problem(tmp_path) is None
    assert [*tmp_path.iterdir()] == []

    def refuse(dir):
        raise PermissionError(13, "Permission denied", str(dir))

    monkeypatch.setattr(new_file, "TemporaryFile", refuse)
    found = new_file_problem(tmp_path / "a" / "b")
    assert found.startswith(f"Expected `{tmp_path / 'a' / 'b'}` to be where files can be written")
    assert f"in `{tmp_path}` (Permission denied): name another." in found
    assert closed_folder_problem(tmp_path).startswith(f"Expected `{tmp_path}` to be where")
