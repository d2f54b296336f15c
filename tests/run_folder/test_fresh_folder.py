import pytest

from sdtune.run_folder.fresh_folder import refuse_used_folder


def test_a_new_run_refuses_another_runs_folder(tmp_path):
    refuse_used_folder(tmp_path / "new")
    refuse_used_folder(tmp_path)
    (tmp_path / "base.png").touch()
    with pytest.raises(FileExistsError, match=r"Expected .* to be empty, but another run"):
        refuse_used_folder(tmp_path)
