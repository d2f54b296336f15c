import logging
from pathlib import Path

import pytest
import torch

from sdtune.files.kept_tensors import KeptTensors


def test_tensors_are_found_by_all_of_their_key(tmp_path: Path) -> None:
    kept, rows = KeptTensors(tmp_path), torch.rand(3, 4)
    tensors = {"rows": rows, "same": rows, "turned": rows.T, "empty": torch.zeros(0)}
    kept.keep({"a": 1, "b": [2]}, tensors)
    found = KeptTensors(tmp_path).find({"b": [2], "a": 1})
    assert found is not None
    assert all(torch.equal(found[name], each) for name, each in tensors.items())
    assert kept.find({"a": 1, "b": [3]}) is None


def test_what_is_damaged_is_not_there(tmp_path: Path) -> None:
    kept = KeptTensors(tmp_path)
    kept.keep("key", {"n": torch.ones(2)})
    [path] = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    assert kept.find("key") is None


def test_a_folder_that_cannot_be_written_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    kept = KeptTensors(tmp_path / "file")
    with caplog.at_level(logging.WARNING):
        kept.keep("key", {"n": torch.ones(2)})
    assert "cannot be written, and is computed again" in caplog.text
    assert kept.find("key") is None
