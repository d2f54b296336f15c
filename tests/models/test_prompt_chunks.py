from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from sdtune.models import Conditioning, load, sample
from sdtune.models.conditioning import aligned
from sdtune.models.prompt_chunks import split_prompts
from sdtune.models.stable_diffusion import StableDiffusion


@pytest.fixture(scope="module")
def model(tiny_sd: Path) -> StableDiffusion:
    model = load(tiny_sd)
    model.max_prompt_chunks = 3
    return model


def _text(model: StableDiffusion, chunk: list[int]) -> str:
    return model.tokenizers[0].decode(chunk, skip_special_tokens=True).strip()


def test_a_short_prompt_has_the_tokens_of_the_tokenizer(model: StableDiffusion) -> None:
    tokenizer = model.tokenizers[0]
    texts = ["", "a cat", "x" * 75]
    expected = tokenizer(texts, padding="max_length", truncation=True, max_length=77).input_ids
    assert [each.chunks for each in split_prompts(tokenizer, texts, 3)] == [[e] for e in expected]


def test_chunks_hold_75_tokens_between_a_begin_and_an_end(model: StableDiffusion) -> None:
    tokenizer = model.tokenizers[0]
    (split,) = split_prompts(tokenizer, ["x" * 160], 3)
    assert split.length == 162
    assert not split.lost
    assert [_text(model, chunk) for chunk in split.chunks] == ["x" * 75, "x" * 75, "x" * 10]
    assert all(len(chunk) == 77 and chunk[0] == tokenizer.bos_token_id for chunk in split.chunks)
    assert split.chunks[0][-1] == split.chunks[2][11] == tokenizer.eos_token_id
    assert set(split.chunks[2][12:]) == {tokenizer.pad_token_id}


@pytest.mark.parametrize(
    ("before", "first"),
    [
        (70, "x" * 70 + ","),  # 71 tokens, and what follows the comma moves on
        (56, "x" * 56 + ","),  # the comma is the 57th, just within 20 of the end
        (54, "x" * 54 + "," + "y" * 20),  # it is further away
        (75, "x" * 75),  # a comma that follows the chunk does not end an earlier one
    ],
)
def test_a_chunk_ends_at_a_comma_near_its_end(
    model: StableDiffusion, before: int, first: str
) -> None:
    text = "x" * before + "," + "y" * 40
    (split,) = split_prompts(model.tokenizers[0], [text], 3)
    assert _text(model, split.chunks[0]).replace(" ", "") == first
    assert "".join(_text(model, chunk) for chunk in split.chunks).replace(" ", "") == text


def test_what_is_beyond_the_chunks_is_lost_and_said(
    model: StableDiffusion, tiny_sd: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (split,) = split_prompts(model.tokenizers[0], ["a" * 75 + "bc"], 1)
    assert (len(split.chunks), split.lost, split.length) == (1, "bc", 79)
    (split,) = split_prompts(model.tokenizers[0], ["a" * 75 + "  The end,  as Written "], 1)
    assert split.lost == "The end,  as Written"
    short = load(tiny_sd)
    with caplog.at_level(logging.WARNING, logger="sdtune"):
        for letter in "abbcdefg":  # the second of two equal prompts is not news
            short.encode_prompts([letter * 76 + " end"])
    assert len(caplog.records) == 5
    assert "A prompt of 81 tokens is cut to 77 and loses 'a end'" in caplog.messages[0]
    assert "model.max_prompt_chunks" in caplog.messages[0]
    assert "further ones are not told" in caplog.messages[4]


def test_hidden_states_are_those_of_the_chunks_joined(model: StableDiffusion) -> None:
    text_encoder = model.text_encoders[0]
    (split,) = split_prompts(model.tokenizers[0], ["y" * 100], 3)
    with torch.no_grad():
        encoded = model.encode_prompts(["y" * 100]).encoder_hidden_states
        parts = [text_encoder(torch.tensor([c])).last_hidden_state for c in split.chunks]
    assert encoded.shape[1] == 154
    torch.testing.assert_close(encoded, torch.cat(parts, dim=1))


def test_rows_keep_their_order_whatever_their_lengths(model: StableDiffusion) -> None:
    texts = ["a cat", "y" * 100, "a dog", "z" * 200]
    with torch.no_grad():
        together = model.encode_prompts(texts).encoder_hidden_states
        alone = [model.encode_prompts([text]).encoder_hidden_states[0] for text in texts]
    assert together.shape[1] == 77 * 6
    assert model.chunk_counts(texts) == [1, 2, 1, 3]
    for row, own in zip(together, alone, strict=True):
        torch.testing.assert_close(row, own.repeat(len(row) // len(own), 1))


def test_what_a_prompt_does_is_the_same_beside_a_longer_one(model: StableDiffusion) -> None:
    noisy_latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    timesteps = torch.tensor([500])
    with torch.no_grad():
        short, long = model.encode_prompts(["a cat"]), model.encode_prompts(["y" * 200])
        alone = model(noisy_latents, timesteps, short)
        both = Conditioning.cat([short, long])
        beside = model(noisy_latents.repeat(2, 1, 1, 1), timesteps.repeat(2), both)
        other = model(noisy_latents, timesteps, long)
    torch.testing.assert_close(beside[:1], alone, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(beside[1:], other, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(alone, other, atol=1e-3)


def test_extra_inputs_are_those_of_the_first_chunk_and_lengths_are_brought_together() -> None:
    one = Conditioning(torch.rand(1, 2, 3), {"text_embeds": torch.rand(1, 4)})
    two = Conditioning(torch.rand(2, 3, 3), {"text_embeds": torch.rand(2, 4)})
    first, second = aligned(one, two)
    assert first.encoder_hidden_states.shape == (1, 6, 3)
    assert second.encoder_hidden_states.equal(two.encoder_hidden_states.repeat(1, 2, 1))
    assert first.added_cond_kwargs["text_embeds"].equal(one.added_cond_kwargs["text_embeds"])
    assert aligned(one, one)[0] is one


def test_pictures_are_drawn_from_long_prompts_with_guidance(model: StableDiffusion) -> None:
    pictures = sample(model, ["a cat", "y" * 100], seeds=[1, 1], num_inference_steps=1)
    alone = sample(model, ["a cat"], seeds=[1], num_inference_steps=1)
    torch.testing.assert_close(pictures[:1], alone, rtol=1e-3, atol=1e-3)


def test_of_a_pooled_output_the_first_chunk_s_is_taken(tiny_xl: Path) -> None:
    model = load(tiny_xl)
    model.max_prompt_chunks = 2
    first, second = "y" * 75, " " + "z" * 20
    with torch.no_grad():
        whole, short = model.encode_prompts([first + second, "a cat"]), "a cat"
        parts = [model.encode_prompts([text]) for text in (first, second, short)]
    joined = torch.cat([part.encoder_hidden_states for part in parts[:2]], dim=1)
    torch.testing.assert_close(whole.encoder_hidden_states[:1], joined)
    for row, part in ((0, parts[0]), (1, parts[2])):
        for name, value in part.added_cond_kwargs.items():
            torch.testing.assert_close(whole.added_cond_kwargs[name][[row]], value)
    pictures = sample(
        model, [first + second, short], seeds=[1, 1], num_inference_steps=1, guidance_scale=2.0
    )
    alone = sample(model, [short], seeds=[1], num_inference_steps=1, guidance_scale=2.0)
    torch.testing.assert_close(pictures[1:], alone, rtol=1e-3, atol=1e-3)
