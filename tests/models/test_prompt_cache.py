from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import nn

from sdtune.models import Conditioning, PromptCache

CPU = torch.device("cpu")


class Encoder:
    """Encodes a prompt to its length times a weight, and notes what it was asked for."""

    def __init__(self) -> None:
        self.weight = nn.Parameter(torch.ones(()))
        self.asked: list[list[str]] = []

    def __call__(self, prompts: Sequence[str]) -> Conditioning:
        self.asked.append(list(prompts))
        lengths = torch.tensor([float(len(prompt)) for prompt in prompts])
        hidden_states = self.weight * lengths[:, None, None].expand(-1, 3, 2)
        return Conditioning(hidden_states, {"text_embeds": self.weight * -lengths[:, None]})


def _lengths(conditioning: Conditioning) -> list[float]:
    rows = conditioning.encoder_hidden_states[:, 0, 0]
    assert torch.equal(conditioning.added_cond_kwargs["text_embeds"][:, 0], -rows)
    return rows.tolist()


def test_known_captions_are_encoded_once_in_bounded_batches_and_kept_whole() -> None:
    cache, encode = PromptCache(), Encoder()
    cache.remember(["a", "bb", "a", "ccc"], encode, at_once=2)
    assert encode.asked == [["a", "bb"], ["ccc"]]
    found = cache.batch(["ccc", "a", "ccc"], encode, lambda _: False, CPU)
    assert _lengths(found) == [3.0, 1.0, 3.0]
    assert len(encode.asked) == 2
    assert not found.encoder_hidden_states.requires_grad
    assert found.encoder_hidden_states.shape == (3, 3, 2)


def test_unknown_captions_of_a_batch_are_encoded_one_by_one() -> None:
    cache, encode = PromptCache(), Encoder()
    for _ in range(2):
        assert _lengths(cache.batch(["a", "bb", "a"], encode, lambda _: False, CPU)) == [1, 2, 1]
    assert encode.asked == [["a"], ["bb"]]


def test_those_anew_stand_among_the_known_in_the_order_asked_for() -> None:
    cache, encode = PromptCache(), Encoder()
    captions = ["bb", "<w>12", "a", "<w>", "<w>12"]
    for _ in range(2):
        found = cache.batch(captions, encode, lambda caption: "<w>" in caption, CPU)
    assert _lengths(found) == [2.0, 5.0, 1.0, 3.0, 5.0]
    assert encode.asked == [["bb"], ["a"], ["<w>12", "<w>"], ["<w>12", "<w>"]]
    (gradient,) = torch.autograd.grad(found.encoder_hidden_states.sum(), encode.weight)
    assert gradient == 6 * (5 + 3 + 5)  # the known ones have none


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_known_take_the_types_of_those_anew(dtype: torch.dtype) -> None:
    cache, encode = PromptCache(), Encoder()
    cache.remember(["a"], encode)
    found = cache.batch(
        ["a", "new"], lambda prompts: encode(prompts).to(dtype=dtype), lambda c: c == "new", CPU
    )
    assert found.encoder_hidden_states.dtype == dtype
    assert found.added_cond_kwargs["text_embeds"].dtype == dtype
