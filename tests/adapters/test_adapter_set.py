import pytest
import torch
from safetensors import safe_open

from sdtune.adapters.adapter_set import AdapterSet, export_saved
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
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([*names, path.name])
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


def test_only_a_lora_has_files_for_other_programs(tmp_path, model):
    add_token_embedding(model, "<one>", "c")
    add_tuned_projections(model)
    words = take(model, ["<one>"])
    assert AdapterSet(*words, CrossAttentionAdapter.from_model(model)).export(tmp_path, model) == []
    assert not list(tmp_path.iterdir())


@pytest.fixture
def tuned(model, train):
    add_lora(model, rank=2, alpha=3.0, target_modules=["to_q", "q_proj"], text_encoder=True)
    train(model)
    return model


def test_all_layouts_are_written_and_the_model_left_as_it_was(tmp_path, tuned):
    before = [parameter.clone() for parameter in lora_parameters(tuned)]
    paths = AdapterSet(LoRAAdapter.from_model(tuned)).export(tmp_path, tuned, {"ss_steps": "4"})
    assert [path.name for path in paths] == ["kohya_lora.safetensors", "peft"]
    pairs = zip(before, lora_parameters(tuned), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)


def test_an_export_that_loses_something_is_found(tmp_path, tuned):
    adapter = LoRAAdapter.from_model(tuned)
    weak = LoRAAdapter(
        {part: {key: 0.5 * each for key, each in weights.items()}
         for part, weights in adapter.weights.items()},
        adapter.configs,
    )  # fmt: skip
    with pytest.raises(AdapterVerificationError, match="to hold the trained"):
        AdapterSet(weak).export(tmp_path, tuned)


def test_a_dora_is_left_out(tmp_path, model):
    add_lora(model, rank=2, alpha=3.0, target_modules=["to_q"], use_dora=True)
    assert AdapterSet(LoRAAdapter.from_model(model)).export(tmp_path, model) == []
    assert not list(tmp_path.iterdir())


def test_what_was_saved_before_is_exported_with_its_header(tmp_path, tuned):
    AdapterSet(LoRAAdapter.from_model(tuned)).save(tmp_path, {"sdtune.steps": "4"})
    at_that_time = [parameter.clone() for parameter in lora_parameters(tuned)]
    with torch.no_grad():
        for parameter in lora_parameters(tuned):
            parameter += 1
    kohya, _ = export_saved(tmp_path, tuned)
    assert tensor_file.read_metadata(kohya) == {
        "format": "pt", "writer": "sdtune", "sdtune.steps": "4", "ss_network_alpha": "3",
        "ss_network_dim": "2", "ss_network_module": "networks.lora",
    }  # fmt: skip
    pairs = zip(at_that_time, lora_parameters(tuned), strict=True)
    assert all(torch.equal(before + 1, now) for before, now in pairs)


def test_a_set_holds_adapters_of_kinds_that_are_known():
    with pytest.raises(ValueError, match="kinds that have a format, but got none"):
        AdapterSet()
