import os
import socket
from pathlib import Path

import pytest
import torch

from sdtune.files import tensor_file
from sdtune.files.pickled_tensors import read_pickle
from sdtune.files.regular_file import NotAFileError, check_file, open_file, special_kind
from sdtune.files.text_file import read_text

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are POSIX's")


@pytest.fixture
def pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe.pt")
    return tmp_path / "pipe.pt"


def test_a_kind_is_that_of_what_a_link_leads_to(pipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's name is short
    (tmp_path / "link").symlink_to(pipe)
    (tmp_path / "file").write_bytes(b"content")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        kinds = {each.name: special_kind(each) for each in tmp_path.iterdir()}
    assert kinds == {
        "pipe.pt": "a named pipe",
        "link": "a named pipe",
        "file": "",
        "socket": "a socket",
    }
    assert special_kind(Path("/dev/null")) == "a device"
    assert special_kind(tmp_path) == special_kind(tmp_path / "gone") == ""
    with open_file(tmp_path / "file") as file:
        assert file.read() == b"content"


def test_nothing_but_a_file_is_opened(pipe, tmp_path):
    for path in (pipe, tmp_path, Path("/dev/zero")):
        for read in (check_file, open_file, read_text, tensor_file.read_metadata):
            with pytest.raises(NotAFileError, match="it is not a file"):
                read(path)
        with pytest.raises(ValueError, match="but it is not a file"):
            tensor_file.read_tensors(path)
        assert tensor_file.read_header(path) == tensor_file.TensorHeader()
        assert not tensor_file.is_ours(path)
    with pytest.raises(ValueError, match=r"pipe\.pt"):
        read_pickle(pipe)
    with pytest.raises(FileNotFoundError):
        check_file(tmp_path / "gone")
    with pytest.raises(FileExistsError):
        tensor_file.write(pipe, {"a": torch.zeros(1)}, {})
