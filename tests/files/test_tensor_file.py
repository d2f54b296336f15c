import os
import re

import pytest
import torch
from safetensors.torch import load_file, save_file

from sdtune.files import tensor_file

TENSORS = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.ones(3, dtype=torch.bfloat16)}


def test_tensors_and_strings_come_back(tmp_path):
    path = tmp_path / "new" / "file.safetensors"
    metadata = {"title": 'Größe "7"', "steps": "200"}
    tensor_file.write(path, TENSORS, metadata)
    read = load_file(path)
    assert read.keys() == TENSORS.keys()
    assert all(torch.equal(read[key], TENSORS[key]) for key in TENSORS)
    assert tensor_file.read_metadata(path) == {**metadata, "format": "pt", "writer": "sdtune"}
    assert (int.from_bytes(path.read_bytes()[:8], "little")) % 8 == 0


def test_equal_contents_give_equal_bytes(tmp_path):
    metadata = {f"key {number}": str(number) for number in range(20)}
    paths = [tmp_path / f"{number}.safetensors" for number in range(4)]
    for path in paths:
        tensor_file.write(path, TENSORS, dict(reversed(metadata.items())))
    assert len({path.read_bytes() for path in paths}) == 1


@pytest.mark.parametrize("foreign", ["safetensors", "text"])
def test_a_foreign_file_is_not_overwritten(tmp_path, foreign):
    path = tmp_path / "file.safetensors"
    if foreign == "safetensors":
        save_file({"x": torch.zeros(1)}, path, metadata={"writer": "somebody"})
    else:
        path.write_text("not safetensors")
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="sdtune did not write"):
        tensor_file.write(path, TENSORS, {})
    assert path.read_bytes() == before
    assert not tensor_file.is_ours(path)


def test_an_own_file_is_replaced(tmp_path):
    path = tmp_path / "file.safetensors"
    tensor_file.write(path, TENSORS, {})
    tensor_file.write(path, {"c": torch.zeros(1)}, {})
    assert list(load_file(path)) == ["c"]
    assert list(tmp_path.iterdir()) == [path]


def test_metadata_must_be_strings_under_free_keys(tmp_path):
    path = tmp_path / "file.safetensors"
    with pytest.raises(TypeError, match=r"`metadata\['ss_steps'\]` to be a string"):
        tensor_file.write(path, TENSORS, {"ss_steps": 200})
    with pytest.raises(ValueError, match="own keys alone, but got `format`, `writer`"):
        tensor_file.write(path, TENSORS, {"writer": "me", "format": "np"})
    assert not path.exists()


def test_a_header_is_read_of_whatever_there_is(tmp_path):
    path = tmp_path / "file.safetensors"
    tensor_file.write(path, TENSORS, {"steps": "200"})
    header = tensor_file.read_header(path)
    assert header.shapes == {"a": (3,), "b": (2, 3)}
    assert header.metadata["steps"] == "200"
    path.write_text("no tensors")
    assert tensor_file.read_header(path) == tensor_file.read_header(tmp_path)
    assert not tensor_file.read_header(path).shapes
    with pytest.raises(FileNotFoundError):
        tensor_file.read_header(tmp_path / "nowhere")


def test_a_pipe_is_never_waited_for(tmp_path):
    path = tmp_path / "lora.safetensors"
    os.mkfifo(path)
    assert tensor_file.read_header(path) == tensor_file.TensorHeader()
    assert not tensor_file.is_ours(path)
    with pytest.raises(FileExistsError, match=r"lora\.safetensors to be free"):
        tensor_file.write(path, TENSORS, {})


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.int8])
def test_numbers_of_8_bits_are_read_and_written(tmp_path, dtype):
    path = tmp_path / "a.safetensors"
    tensor_file.write(path, {"a": torch.ones(2, 2).to(dtype)}, {})
    found = tensor_file.read_tensors(path)["a"]
    assert found.dtype == dtype
    assert found.float().tolist() == [[1.0, 1.0], [1.0, 1.0]]
    if dtype.is_floating_point:
        lost = torch.tensor([float("nan")]).to(dtype)
        with pytest.raises(ValueError, match="finite numbers"):
            tensor_file.write(path, {"a": lost}, {})
        save_file({"a": lost}, path)
        with pytest.raises(ValueError, match="to be finite, but `a`"):
            tensor_file.read_tensors(path)


def test_a_companion_is_ours_beside_weights_of_ours_alone(tmp_path):
    config, weights = tmp_path / "config.json", tmp_path / "a.safetensors"
    tensor_file.check_companion(config, weights)
    config.write_text("{}")
    with pytest.raises(FileExistsError, match=re.escape(f"Expected {config} to be free")):
        tensor_file.check_companion(config, weights)
    save_file({"a": torch.zeros(1)}, weights)
    with pytest.raises(FileExistsError, match=re.escape(f"Expected {config} to be free")):
        tensor_file.check_companion(config, weights)
    weights.unlink()
    tensor_file.write(weights, {"a": torch.zeros(1)}, {})
    tensor_file.check_companion(config, weights)
