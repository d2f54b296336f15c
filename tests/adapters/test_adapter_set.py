from dataclasses import replace

import pytest
import torch
from safetensors import safe_open

from sdtune.adapters import registry
from sdtune.adapters.adapter_set import AdapterSet
from sdtune.adapters.keys_values import CrossAttentionAdapter, add_tuned_projections
from sdtune.adapters.lora import LoRAAdapter, add_lora, lora_parameters
from sdtune.adapters.pipeline import find_adapter_files
from sdtune.adapters.verification import AdapterVerificationError
from sdtune.adapters.words import TokenEmbeddingAdapter, add_token_embedding
from sdtune.files import tensor_file


def take(model, words):
    return [TokenEmbeddingAdapter.from_model(model, word) for word in words]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["<one>"], ["learned_embeds.safetensors"]),
        (["<one>", "<two>"], ["learned_embeds_1.safetensors", "learned_embeds_2.safetensors"]),
    ],
)
def test_the_weights_header_names_a_file_for_each_word(tmp_path, model, words, names):
    for word in words:
        add_token_embedding(model, word, "c")
    add_lora(model, rank=2, alpha=2.0)
    # words go first, in whatever order they are given
    adapter = AdapterSet(LoRAAdapter.from_model(model), *take(model, words))
    path = adapter.save(tmp_path, {"sdtune.steps": "2"})
    with safe_open(path, "pt") as file:
        assert file.metadata()["sdtune.embedding_file"].split() == names
        assert file.metadata()["sdtune.steps"] == "2"
    written = {file.name for file in tmp_path.iterdir()}
    assert written == {*names, path.name, "kohya_lora.safetensors", "peft"}
    assert [each.name for each in find_adapter_files(tmp_path)] == [*names, path.name]
    adapter.verify(path, model)


def test_words_alone_are_all_found_by_folder_and_by_the_last(tmp_path, model):
    for word in ("<one>", "<two>"):
        add_token_embedding(model, word, "c")
    adapter = AdapterSet(*take(model, ["<one>", "<two>"]))
    path = adapter.save(tmp_path)
    names = ["learned_embeds_1.safetensors", "learned_embeds.safetensors"]
    for given in (tmp_path, path):
        assert [each.name for each in find_adapter_files(given)] == names
    adapter.verify(path, model)


def test_a_word_that_went_on_learning_is_found(tmp_path, model):
    [rows] = add_token_embedding(model, "<one>", "c")
    add_lora(model, rank=2, alpha=2.0)
    adapter = AdapterSet(*take(model, ["<one>"]), LoRAAdapter.from_model(model))
    path = adapter.save(tmp_path)
    with torch.no_grad():
        rows += 1
    with pytest.raises(AdapterVerificationError):
        adapter.verify(path, model)


def test_programs_that_can_read_no_file_are_named(tmp_path, model):
    add_token_embedding(model, "<one>", "c")
    add_tuned_projections(model)
    adapter = AdapterSet(*take(model, ["<one>"]), CrossAttentionAdapter.from_model(model))
    [line] = adapter.left_out()
    assert line.startswith("No file of the keys and values is written for A1111 and ComfyUI")
    adapter.save(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.fixture
def tuned(model, train):
    add_lora(model, rank=2, alpha=3.0, target_modules=["to_q", "q_proj"], text_encoder=True)
    train(model)
    return model


def test_all_layouts_are_written_and_the_model_left_as_it_was(tmp_path, tuned):
    before = [parameter.clone() for parameter in lora_parameters(tuned)]
    adapter = AdapterSet(LoRAAdapter.from_model(tuned), metadata={"ss_output_name": "mine"})
    path = adapter.save(tmp_path, {"sdtune.steps": "4"})
    assert adapter.verify(path, tuned) < 1e-5
    names = ["mine.safetensors", "peft", "pytorch_lora_weights.safetensors"]
    assert sorted(each.name for each in tmp_path.iterdir()) == names
    assert all(
        registry.recognise(tmp_path / name).metadata(tmp_path / name)["sdtune.steps"] == "4"
        for name in names
    )
    pairs = zip(before, lora_parameters(tuned), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)
    assert adapter.left_out() == []


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("../../evil", "evil"),
        ("/", "kohya_lora"),
        ("Pytorch_LoRA_weights", "kohya_lora"),
        ("learned_embeds", "kohya_lora"),
        ("learned_embeds_1", "kohya_lora"),
    ],
)
def test_the_name_in_a_header_is_of_a_file_of_its_own_in_the_folder(tmp_path, model, name, file):
    for word in ("<one>", "<two>"):
        add_token_embedding(model, word, "c")
    add_lora(model, rank=2, alpha=2.0)
    words = take(model, ["<one>", "<two>"])
    adapter = AdapterSet(*words, LoRAAdapter.from_model(model), metadata={"ss_output_name": name})
    places = [path for *_, path in adapter._places(tmp_path, adapter.metadata)]
    assert all(path.parent == tmp_path for path in places)
    assert len({path.name for path in places}) == 5
    assert places[-2] == tmp_path / f"{file}.safetensors"


@pytest.mark.parametrize("lossy", ["pytorch_lora_weights.safetensors", "kohya_lora.safetensors"])
def test_a_file_that_loses_something_is_found(tmp_path, tuned, lossy):
    adapter = LoRAAdapter.from_model(tuned)
    weak = replace(
        adapter,
        weights={
            part: {key: 0.5 * each for key, each in weights.items()}
            for part, weights in adapter.weights.items()
        },
    )
    path = AdapterSet(adapter).save(tmp_path)
    registry.recognise(tmp_path / lossy).write(weak, tmp_path / lossy, {})
    with pytest.raises(AdapterVerificationError, match=f"{lossy} to hold the trained"):
        AdapterSet(adapter).verify(path, tuned)


def test_a_dora_has_no_file_for_a1111(tmp_path, model):
    add_lora(model, rank=2, alpha=3.0, target_modules=["to_q"], use_dora=True)
    adapter = AdapterSet(LoRAAdapter.from_model(model))
    adapter.verify(adapter.save(tmp_path), model)
    names = ["peft", "pytorch_lora_weights.safetensors"]
    assert sorted(each.name for each in tmp_path.iterdir()) == names
    assert adapter.left_out() == [
        "No file of the DoRA is written for A1111 and ComfyUI: of this kind only diffusers can "
        "read it."
    ]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_half_the_size_and_its_error_is_told(tmp_path, tuned, dtype):
    whole = AdapterSet(LoRAAdapter.from_model(tuned))
    half = whole.to(dtype)
    path = half.save(tmp_path / "half")
    tensors = tensor_file.read_tensors(path)
    written = tensor_file.read_tensors(whole.save(tmp_path / "whole"))
    assert sum(each.nbytes for each in written.values()) == 2 * sum(
        each.nbytes for each in tensors.values()
    )
    assert {each.dtype for each in tensors.values()} == {dtype}
    assert 1e-6 < half.verify(path, tuned) < 4 * torch.finfo(dtype).eps


def test_what_is_not_finite_is_not_written(tmp_path, tuned):
    with torch.no_grad():
        lora_parameters(tuned)[0][0, 0] = float("nan")
    with pytest.raises(ValueError, match="holds some that are not, and is not written"):
        AdapterSet(LoRAAdapter.from_model(tuned)).save(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_set_holds_adapters_of_kinds_that_are_known():
    with pytest.raises(ValueError, match="kinds that have a format, but got none"):
        AdapterSet()
