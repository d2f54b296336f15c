from sdtune.files.new_file import new_file_problem


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
