import errno
from unittest.mock import Mock

import pytest
from filelock import FileLock

from sdtune._checks import ArgumentsError
from sdtune.comparison.comparison_lock import comparison_problem, only_comparison


def test_a_second_comparison_is_kept_out_until_the_first_ends(tmp_path):
    folder = tmp_path / "compared"
    assert comparison_problem(folder) is None
    assert not folder.exists()
    with only_comparison(folder):
        expected = f"Expected no other `sdtune compare` to run in {folder}, but one does"
        assert comparison_problem(folder).startswith(expected)
        with (
            pytest.raises(ArgumentsError, match="name another `--output`"),
            only_comparison(folder),
        ):
            pass
    assert comparison_problem(folder) is None
    with pytest.raises(KeyboardInterrupt), only_comparison(folder):
        raise KeyboardInterrupt
    with only_comparison(folder):
        pass


def test_where_nothing_can_be_locked_it_is_said(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(FileLock, "acquire", Mock(side_effect=OSError(errno.ENOLCK, "No locks")))
    with only_comparison(tmp_path):
        assert "cannot be locked here" in caplog.text
