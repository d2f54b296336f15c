import pytest
import torch
from safetensors import safe_open

from sdtune.adapters.cross_attention import CrossAttentionAdapter, add_tuned_projections
from sdtune.adapters.lora import LoRAAdapter, add_lora
from sdtune.adapters.pivotal import EMBEDDING_KEY, PivotalAdapter
from sdtune.adapters.token_embedding import TokenEmbeddingAdapter, add_token_embedding
from sdtune.adapters.verification import AdapterVerificationError


def _take(model, words):
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
    adapter = PivotalAdapter(_take(model, words), LoRAAdapter.from_model(model))
    path = adapter.save(tmp_path, {"sdtune.steps": "2"})
    with safe_open(path, "pt") as file:
        assert file.metadata()[EMBEDDING_KEY].split() == names
        assert file.metadata()["sdtune.steps"] == "2"
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([*names, path.name])
    adapter.verify(path, model)


def test_a_word_that_went_on_learning_is_found(tmp_path, model):
    rows = add_token_embedding(model, "<one>", "c")
    add_lora(model, rank=2, alpha=2.0)
    adapter = PivotalAdapter(_take(model, ["<one>"]), LoRAAdapter.from_model(model))
    path = adapter.save(tmp_path)
    with torch.no_grad():
        rows += 1
    with pytest.raises(AdapterVerificationError):
        adapter.verify(path, model)


def test_only_a_lora_has_files_for_other_programs(tmp_path, model):
    add_token_embedding(model, "<one>", "c")
    add_tuned_projections(model)
    words = _take(model, ["<one>"])
    assert (
        PivotalAdapter(words, CrossAttentionAdapter.from_model(model)).export(tmp_path, model) == []
    )
    assert not list(tmp_path.iterdir())
