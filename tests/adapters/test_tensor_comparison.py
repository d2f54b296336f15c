import torch

from sdtune.adapters.tensor_comparison import _compare, compare_adapters
from sdtune.files import tensor_file

WORD = {"<erica>": torch.arange(8.0).reshape(2, 4)}


def test_equal_numbers_are_equal_whatever_the_header_says(tmp_path):
    tensor_file.write(tmp_path / "a.safetensors", WORD, {"sdtune.steps": "3"})
    tensor_file.write(tmp_path / "new" / "learned_embeds.safetensors", WORD, {})
    (found,) = compare_adapters([tmp_path / "a.safetensors"], tmp_path / "new")
    assert found.is_equal
    assert found.now == tmp_path / "new" / "learned_embeds.safetensors"
    assert found.largest == 0


def test_the_largest_difference_is_named(tmp_path):
    tensor_file.write(tmp_path / "a.safetensors", WORD, {})
    other = WORD["<erica>"].clone()
    other[1, 0] += 0.5
    tensor_file.write(tmp_path / "new" / "b.safetensors", {"<erica>": other}, {})
    (found,) = compare_adapters([tmp_path / "a.safetensors"], tmp_path / "new")
    assert not found.is_equal
    assert (found.largest, found.name, found.magnitude) == (0.5, "<erica>", 7.0)


def test_other_shapes_and_types_are_not_equal(tmp_path):
    tensor_file.write(tmp_path / "a.safetensors", WORD, {})
    tensor_file.write(tmp_path / "b" / "x.safetensors", {"<erica>": WORD["<erica>"][:1]}, {})
    (found,) = compare_adapters([tmp_path / "a.safetensors"], tmp_path / "b")
    assert (found.largest, found.name) == (0, "")
    assert found.unlike == ("`<erica>`, 1 x 4 where 2 x 4 is expected",)
    tensor_file.write(tmp_path / "c" / "x.safetensors", {"<erica>": WORD["<erica>"].half()}, {})
    (found,) = compare_adapters([tmp_path / "a.safetensors"], tmp_path / "c")
    assert not found.is_equal
    assert (found.largest, found.name) == (0, "<erica>")
    assert found.unlike == ("`<erica>`, float16 where float32 is expected",)


def test_beside_another_shape_the_largest_difference_is_of_the_others(tmp_path):
    one, zero = torch.ones(2, 4), torch.zeros(2, 4)
    tensor_file.write(tmp_path / "a.safetensors", {"a": one, "b": zero}, {})
    tensor_file.write(tmp_path / "b.safetensors", {"a": one[:1], "b": zero + 3}, {})
    found = _compare(tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    assert (found.largest, found.name) == (3.0, "b")
    assert found.unlike == ("`a`, 1 x 4 where 2 x 4 is expected",)


def test_of_several_words_the_same_one_is_compared(tmp_path):
    tensor_file.write(tmp_path / "a.safetensors", WORD, {})
    tensor_file.write(tmp_path / "new" / "1.safetensors", {"<hazel>": WORD["<erica>"]}, {})
    tensor_file.write(tmp_path / "new" / "2.safetensors", WORD, {})
    (found,) = compare_adapters([tmp_path / "a.safetensors"], tmp_path / "new")
    assert found.is_equal
    assert found.now == tmp_path / "new" / "2.safetensors"


def test_a_format_that_was_not_written_is_told(tmp_path):
    tensor_file.write(tmp_path / "a.safetensors", WORD, {})
    (found,) = compare_adapters([tmp_path / "a.safetensors"], tmp_path / "nowhere")
    assert found.now is None
    assert not found.is_equal
