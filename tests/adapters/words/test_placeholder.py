"""A new word: what people may write, and what a tokenizer says to it."""

from __future__ import annotations

import pytest

from sdtune.adapters.words.placeholder import (
    Placeholder,
    check_token_embedding_arguments,
    initial_ids,
)
from sdtune.models import StableDiffusion


def test_a_word_of_several_vectors_is_written_out_as_diffusers_does() -> None:
    assert Placeholder("<erica>", 3).tokens == ["<erica>", "<erica>_1", "<erica>_2"]
    assert Placeholder("<erica>", 3).expanded == "<erica> <erica>_1 <erica>_2"
    assert Placeholder("<erica>", 1).expanded == "<erica>"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("erica", "c", 1), "word in angle brackets and lower case"),
        (("<Erica>", "c", 1), "word in angle brackets and lower case"),
        (("<my cat>", "c", 1), "word in angle brackets"),
        (("<erica>", " ", 1), "`initializer_token` to be a word that the base knows"),
        (("<erica>", "<erica>", 1), "`initializer_token` to be a word that the base knows"),
        (("<erica>", "c", 0), "`num_vectors` to be an integer from 1 to 8, but got 0"),
        (("<erica>", "c", 9), "`num_vectors` to be an integer from 1 to 8, but got 9"),
        (("<erica>", "c", 1, "unit"), "one of `free`, `table`, `initializer`, but got `unit`"),
    ],
)
def test_bad_arguments_are_refused_without_a_model(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_token_embedding_arguments(*arguments)


def test_a_fraction_of_a_vector_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="`num_vectors` to be an integer, but got"):
        check_token_embedding_arguments("<erica>", "c", 2.0)


def test_ids_are_those_of_the_initializer(base: StableDiffusion) -> None:
    [tokenizer] = base.tokenizers
    ids = initial_ids(tokenizer, Placeholder("<erica>", 4, "cat"))
    assert tokenizer.convert_ids_to_tokens(ids) == ["c", "a", "t</w>"]


def test_all_that_the_vocabulary_refuses_is_told_at_once(base: StableDiffusion) -> None:
    with pytest.raises(ValueError, match="is in the vocabulary already") as caught:
        initial_ids(base.tokenizers[0], Placeholder("<|endoftext|>", 2, "cat"))
    assert "Expected `initializer_token` to be 1 to 2 for `num_vectors` 2" in str(caught.value)
