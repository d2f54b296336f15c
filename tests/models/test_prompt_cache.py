from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import nn

from sdtune.files.feature_store import FeatureStore
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


@pytest.fixture(params=["memory", "disk"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> PromptCache:
    return PromptCache(FeatureStore(tmp_path) if request.param == "disk" else None, "encoder")


def test_known_captions_are_encoded_once_and_kept_whole(cache: PromptCache) -> None:
    encode = Encoder()
    cache.remember(["a", "bb", "a", "ccc"], encode)
    assert encode.asked == [["a"], ["bb"], ["ccc"]]
    found = cache.batch(["ccc", "a", "ccc"], encode, lambda _: False, CPU)
    assert _lengths(found) == [3.0, 1.0, 3.0]
    assert len(encode.asked) == 3
    assert not found.encoder_hidden_states.requires_grad
    assert found.encoder_hidden_states.shape == (3, 3, 2)


def test_on_a_gpu_batches_are_always_of_one_size(cache: PromptCache) -> None:
    encode = Encoder()
    captions = ["a" * length for length in range(1, 71)]
    cache.remember(captions, encode, "cuda")  # it is the encoder that would be there
    assert [len(batch) for batch in encode.asked] == [64, 64]
    assert encode.asked[1] == captions[64:] + captions[-1:] * 58
    found = cache.batch(captions, encode, lambda _: False, CPU)
    assert _lengths(found) == [float(length) for length in range(1, 71)]
    assert len(encode.asked) == 2


def test_what_is_on_disk_is_found_by_later_runs_of_the_same_encoder(tmp_path: Path) -> None:
    encode = Encoder()
    PromptCache(FeatureStore(tmp_path), "one").remember(["a", "bb"], encode)
    PromptCache(FeatureStore(tmp_path), "one").remember(["bb", "ccc"], encode)
    assert encode.asked == [["a"], ["bb"], ["ccc"]]
    PromptCache(FeatureStore(tmp_path), "another").remember(["a"], encode)
    assert encode.asked[3:] == [["a"]]


def test_memory_is_bounded_however_many_captions_there_are(tmp_path: Path) -> None:
    encode, cache = Encoder(), PromptCache(FeatureStore(tmp_path))
    captions = [f"caption {number}" for number in range(1_000)]
    cache.remember(captions, encode)
    assert len(encode.asked) == 1_000
    for first in range(0, 1_000, 4):
        cache.batch(captions[first : first + 4], encode, lambda _: False, CPU)
    cache.batch(["never met before"], encode, lambda _: False, CPU)
    assert len(encode.asked) == 1_001
    assert len(FeatureStore(tmp_path)) == 1_000  # what is met by chance is not written
    assert len(cache._lately) <= 256
    assert not cache._known


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


def test_a_caption_whose_encoder_was_written_is_encoded_anew() -> None:
    cache, encode = PromptCache(), Encoder()
    cache.remember(["<w>"], encode)  # of no version that is asked for below
    version = {"<w>": 1, "a": None}
    for weight, state in ((2.0, 1), (3.0, 2), (3.0, 2)):
        encode.weight.data.fill_(weight)
        version["<w>"] = state
        found = cache.batch(["<w>", "a"], encode, lambda _: False, CPU, version.__getitem__)
        assert _lengths(found) == [3.0 * weight, 2.0]
    assert encode.asked == [["<w>"], ["<w>"], ["a"], ["<w>"]]
