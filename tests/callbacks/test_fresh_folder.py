from types import SimpleNamespace

import pytest

from sdtune.callbacks.fresh_folder import refuse_used_folder


def _trainer(ckpt_path=None, is_global_zero=True):
    return SimpleNamespace(ckpt_path=ckpt_path, is_global_zero=is_global_zero)


def test_a_new_run_refuses_another_runs_folder(tmp_path):
    refuse_used_folder(_trainer(), tmp_path / "new")
    refuse_used_folder(_trainer(), tmp_path)
    (tmp_path / "base.png").touch()
    with pytest.raises(FileExistsError, match=r"Expected .* to be empty, but another run"):
        refuse_used_folder(_trainer(), tmp_path)


def test_a_resumed_run_and_other_processes_go_on(tmp_path):
    (tmp_path / "base.png").touch()
    refuse_used_folder(_trainer(ckpt_path="last.ckpt"), tmp_path)
    refuse_used_folder(_trainer(is_global_zero=False), tmp_path)
