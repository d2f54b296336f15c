from hashlib import sha256

import torch

from sdtune.adapters.adapter_files import (
    adapter_sha256,
    copy_adapter,
    drop_adapter,
    trained_number,
    trained_steps,
)
from sdtune.files import tensor_file

TENSORS = {"unet.a.lora.down.weight": torch.zeros(2, 2), "unet.a.lora.up.weight": torch.ones(2)}


def write(folder, **header):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "pytorch_lora_weights.safetensors"
    tensor_file.write(path, TENSORS, {f"sdtune.{name}": each for name, each in header.items()})
    return path


def test_a_header_says_how_far_an_adapter_was_trained(tmp_path):
    write(tmp_path / "adapter", steps="60")
    assert trained_steps(tmp_path / "adapter") == 60
    assert trained_steps(write(tmp_path / "silent")) is None
    assert trained_steps(tmp_path / "nowhere") is None
    assert trained_number({"sdtune.clip_skip": "2"}, "clip_skip") == 2
    assert [trained_number({"sdtune.clip_skip": each}, "clip_skip") for each in "0x"] == [1, 1]


def test_the_hash_is_of_the_bytes_and_not_of_the_name(tmp_path):
    one, same = write(tmp_path / "a", steps="1"), write(tmp_path / "b", steps="1")
    other = write(tmp_path / "c", steps="2")
    assert adapter_sha256([one]) == adapter_sha256([same]) == sha256(one.read_bytes()).hexdigest()
    assert len({adapter_sha256([one]), adapter_sha256([other]), adapter_sha256([one, other])}) == 3


def test_what_is_copied_can_be_dropped_and_foreign_files_stay(tmp_path):
    path = write(tmp_path / "a", steps="1")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "notes.txt").write_text("mine")
    copy_adapter(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b" / path.name).read_bytes() == path.read_bytes()
    for name in "ab":
        drop_adapter(tmp_path / name)
    assert [each.name for each in tmp_path.rglob("*")] == ["b", "notes.txt"]
