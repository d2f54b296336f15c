"""New words: what they read, what learns, and how the base comes back."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sdtune.adapters.words import (
    TokenEmbeddingAdapter,
    add_token_embedding,
    find_token_embeddings,
    remove_token_embeddings,
    target_norms,
    without_token_embeddings,
)
from sdtune.models import StableDiffusion

Predict = Callable[[StableDiffusion], Tensor]


def _encode(model: StableDiffusion, prompt: str) -> Tensor:
    with torch.no_grad():
        return model.encode_prompts([prompt]).encoder_hidden_states


def _assert_equal(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=0)


def test_a_fresh_word_reads_as_its_initializer(model: StableDiffusion) -> None:
    add_token_embedding(model, "<erica>", "c a t", num_vectors=3)
    _assert_equal(_encode(model, "one <erica> here"), _encode(model, "one c a t here"))
    add_token_embedding(model, "<two>", "d")
    _assert_equal(_encode(model, "<two> <erica>"), _encode(model, "d c a t"))


def test_few_initial_tokens_are_repeated_in_turn(model: StableDiffusion) -> None:
    add_token_embedding(model, "<erica>", "c a", num_vectors=5)
    _assert_equal(_encode(model, "<erica>"), _encode(model, "c a c a c"))


def test_a_prompt_is_written_out_and_ids_follow_the_vocabulary(model: StableDiffusion) -> None:
    first = len(model.tokenizers[0])
    add_token_embedding(model, "<erica>", "c", num_vectors=3)
    add_token_embedding(model, "<two>", "c")
    ids = model.tokenize(["<erica> <two>"])[0]
    assert ids[1:5].tolist() == [first, first + 1, first + 2, first + 3]
    assert len(model.tokenizers[0]) == first + 4


def test_gradients_reach_the_new_rows_alone(model: StableDiffusion) -> None:
    [rows] = add_token_embedding(model, "<erica>", "c", num_vectors=2)
    add_token_embedding(model, "<two>", "c")
    model.encode_prompts(["a <erica>"]).encoder_hidden_states.sum().backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    assert rows.grad is not None
    assert rows.grad.abs().sum(dim=1).min() > 0
    assert [name.rpartition(".")[2] for name in gradients] == ["0", "1"]
    learned = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert learned == 3 * rows.shape[1]


def test_ordinary_words_read_the_same_bits(
    base: StableDiffusion, model: StableDiffusion, predict: Predict
) -> None:
    [rows] = add_token_embedding(model, "<erica>", "c")
    rows.data += 1
    _assert_equal(predict(model), predict(base))
    assert model.fingerprint("text_encoders") == base.fingerprint("text_encoders")


def test_the_base_reads_the_initializers_words(model: StableDiffusion) -> None:
    [rows] = add_token_embedding(model, "<erica>", "c t", num_vectors=4)
    rows.data += 1
    learned, words = _encode(model, "a <erica> cup"), _encode(model, "a c t cup")
    with without_token_embeddings(model):
        _assert_equal(_encode(model, "a <erica> cup"), words)
        _assert_equal(_encode(model, "a <erica> <erica>_1 <erica>_2 <erica>_3 cup"), words)
    _assert_equal(_encode(model, "a <erica> cup"), learned)
    assert (learned - words).abs().max() > 0.01


def test_removal_leaves_the_base(
    base: StableDiffusion, model: StableDiffusion, predict: Predict
) -> None:
    with without_token_embeddings(model):  # nothing to switch off
        remove_token_embeddings(model)
    add_token_embedding(model, "<erica>", "c")
    remove_token_embeddings(model)
    assert find_token_embeddings(model) == []
    assert model.state_dict().keys() == base.state_dict().keys()
    assert len(model.tokenizers[0]) == len(base.tokenizers[0])
    _assert_equal(_encode(model, "a <erica>"), _encode(base, "a <erica>"))
    add_token_embedding(model, "<erica>", "c")


def test_a_copy_of_the_model_learns_on_its_own(model: StableDiffusion) -> None:
    add_token_embedding(model, "<erica>", "c")
    before = _encode(model, "<erica>")
    other = copy.deepcopy(model)
    add_token_embedding(other, "<two>", "c")
    find_token_embeddings(other)[0].rows[0].data += 1
    _assert_equal(_encode(model, "<erica>"), before)
    assert "<two>" not in model.tokenizers[0].get_vocab()


def test_a_half_precision_table_keeps_rows_in_float32(model: StableDiffusion) -> None:
    model.text_encoders.to(torch.bfloat16)
    [rows] = add_token_embedding(model, "<erica>", "c")
    assert rows.dtype == torch.float32
    states = _encode(model, "<erica>")
    assert states.dtype == torch.bfloat16
    _assert_equal(states, _encode(model, "c"))


def test_norms_to_keep(model: StableDiffusion) -> None:
    [rows] = add_token_embedding(model, "<erica>", "c a", num_vectors=2)
    table = find_token_embeddings(model)[0].frozen_table.weight
    assert target_norms(rows, table, "free") is None
    torch.testing.assert_close(target_norms(rows, table, "initializer")[:, 0], rows.norm(dim=1))
    mean = table.norm(dim=1).mean()
    torch.testing.assert_close(target_norms(rows, table, "table"), mean.expand(2, 1))


def test_an_adapter_is_a_copy_of_the_word_that_is_named(model: StableDiffusion) -> None:
    with pytest.raises(ValueError, match="which has none"):
        TokenEmbeddingAdapter.from_model(model)
    [rows] = add_token_embedding(model, "<erica>", "c", num_vectors=2)
    adapter = TokenEmbeddingAdapter.from_model(model)
    expected = rows.detach().clone()
    rows.data += 1
    _assert_equal(adapter.vectors[0], expected)
    add_token_embedding(model, "<two>", "c")
    assert TokenEmbeddingAdapter.from_model(model, "<two>").vectors[0].shape == (1, 16)
    with pytest.raises(ValueError, match="one of the words of the model, <erica>, <two>, but got"):
        TokenEmbeddingAdapter.from_model(model)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("<|endoftext|>", "c"), "`<.endoftext.>` is in the vocabulary already"),
        (("<erica>", "cat"), r"1 token .* `cat` is 3 \(`c`, `a`, `t</w>`\): choose a common word"),
        (("<erica>", "cat", 2), r"1 to 2 for `num_vectors` 2, but `cat` is 3"),
    ],
)
def test_what_the_tokenizer_refuses_leaves_the_model_alone(
    arguments: tuple, message: str, model: StableDiffusion
) -> None:
    with pytest.raises(ValueError, match=message):
        add_token_embedding(model, *arguments)
    assert find_token_embeddings(model) == []


def test_a_word_is_added_once(model: StableDiffusion) -> None:
    add_token_embedding(model, "<erica>", "c")
    with pytest.raises(ValueError, match="`<erica>` is in the vocabulary already"):
        add_token_embedding(model, "<erica>", "c")
