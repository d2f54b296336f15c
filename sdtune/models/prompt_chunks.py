"""Prompts that are longer than a text encoder reads: in pieces that it can, or cut."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from sdtune._checks import shortened
from sdtune.models.conditioning import Conditioning

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

__all__ = ["PromptSplitter", "PromptTokens", "encode_in_chunks", "split_prompts"]

log = logging.getLogger(__name__)

# a comma among the last so many tokens of a chunk is where it ends, as in A1111
_COMMA_WITHIN = 20

_CUT_PROMPTS_TOLD = 5

_KEPT = 1024  # prompts: a tokenizer takes milliseconds for those of a step


@dataclass(frozen=True)
class PromptTokens:
    """A prompt as a text encoder reads it.

    Attributes:
        chunks: Token ids, each of the text encoder's length: begin, up to 75 tokens of the prompt,
            end, padding.
        lost: The words that find no place; empty if all do.
        length: Tokens of the whole prompt, its begin and its end.
    """

    chunks: list[list[int]]
    lost: str
    length: int


class PromptSplitter:
    """Splits prompts, each once, and warns of the first few that lose words, of each once."""

    def __init__(self) -> None:
        self._told: set[str] = set()
        self._known: dict[Hashable, PromptTokens] = {}

    def split(
        self, number: int, tokenizer: CLIPTokenizer, prompts: Sequence[str], max_chunks: int
    ) -> list[PromptTokens]:
        """Split prompts as `split_prompts` does.

        Args:
            number: Which of a model's tokenizers it is.
            tokenizer: It, which may be taught further words between two calls.
            prompts: B texts.
            max_chunks: How many chunks a prompt may have.

        Returns:
            What each is split into.
        """
        words = frozenset(tokenizer.get_added_vocab())
        keys = [(each, max_chunks, number, words) for each in prompts]
        if any(key not in self._known for key in keys):
            if len(self._known) > _KEPT:
                self._known.clear()
            split = split_prompts(tokenizer, prompts, max_chunks)
            self._known.update(zip(keys, split, strict=True))
        found = [self._known[key] for key in keys]
        self._tell(prompts, found)
        return found

    def _tell(self, prompts: Sequence[str], tokens: Sequence[PromptTokens]) -> None:
        for prompt, split in zip(prompts, tokens, strict=True):
            if not split.lost or prompt in self._told or len(self._told) == _CUT_PROMPTS_TOLD:
                continue
            self._told.add(prompt)
            log.warning(
                "A prompt of %d tokens is cut to %d and loses %s; a higher "
                "`model.max_prompt_chunks` keeps it%s: %s",
                split.length,
                sum(len(chunk) for chunk in split.chunks),
                shortened(split.lost, 200),
                " (further ones are not told)" if len(self._told) == _CUT_PROMPTS_TOLD else "",
                prompt,
            )


def split_prompts(
    tokenizer: CLIPTokenizer, prompts: Sequence[str], max_chunks: int
) -> list[PromptTokens]:
    """Split prompts as A1111 does: 75 tokens in a chunk, or fewer where a comma is near its end.

    Args:
        tokenizer: CLIP's.
        prompts: B texts.
        max_chunks: How many chunks a prompt may have; what goes beyond them is lost.

    Returns:
        As many chunks as each prompt needs, at least one.
    """
    size = tokenizer.model_max_length - 2
    comma = cast(int, tokenizer.convert_tokens_to_ids(",</w>"))
    tokens = tokenizer(
        list(prompts), add_special_tokens=False, verbose=False, return_offsets_mapping=True
    )
    split = []
    for prompt, ids, spans in zip(prompts, tokens.input_ids, tokens.offset_mapping, strict=True):
        chunks, rest = _split(ids, size, comma, max_chunks)
        lost = prompt[spans[-len(rest)][0] :].strip() if rest else ""
        framed = [_framed(tokenizer, each) for each in chunks]
        split.append(PromptTokens(framed, lost, len(ids) + 2))
    return split


def encode_in_chunks(
    prompts: Sequence[Sequence[PromptTokens]], encode: Callable[[Sequence[Tensor]], Conditioning]
) -> Conditioning:
    """Encode prompts chunk by chunk, and join each one's hidden states.

    What else a prompt gives, such as a pooled output, is that of its first chunk. Where prompts
    differ in length, see `Conditioning.cat`.

    Args:
        prompts: For each text encoder B prompts.
        encode: Turns (N, L) token ids for each text encoder into the conditioning of N rows.

    Returns:
        B prompts, in their order.
    """
    counts = [max(len(each.chunks) for each in same) for same in zip(*prompts, strict=True)]
    parts, places = [], []
    for count in dict.fromkeys(counts):
        rows = [row for row, found in enumerate(counts) if found == count]
        encoded = encode([_ids([split[row] for row in rows], count) for split in prompts])
        hidden_states = encoded.encoder_hidden_states
        parts.append(
            Conditioning(
                hidden_states.reshape(len(rows), -1, hidden_states.shape[-1]),  # (b, n * L, D)
                {name: value[::count] for name, value in encoded.added_cond_kwargs.items()},
            )
        )
        places += rows
    conditioning = Conditioning.cat(parts) if len(parts) > 1 else parts[0]
    if places == sorted(places):
        return conditioning
    return conditioning[[places.index(row) for row in range(len(places))]]


def _split(
    ids: Sequence[int], size: int, comma: int, max_chunks: int
) -> tuple[list[Sequence[int]], Sequence[int]]:
    chunks: list[Sequence[int]] = []
    rest = ids
    while len(rest) > size and len(chunks) < max_chunks - 1:
        end = size
        if rest[size] != comma:
            tail = range(size, max(0, size - _COMMA_WITHIN), -1)
            end = next((place for place in tail if rest[place - 1] == comma), size)
        chunks.append(rest[:end])
        rest = rest[end:]
    return [*chunks, rest[:size]], rest[size:]


def _framed(tokenizer: CLIPTokenizer, ids: Sequence[int]) -> list[int]:
    framed = [tokenizer.bos_token_id, *ids, tokenizer.eos_token_id]
    return framed + [tokenizer.pad_token_id] * (tokenizer.model_max_length - len(framed))


def _ids(prompts: Sequence[PromptTokens], count: int) -> Tensor:
    """Give (b * count, L) token ids; where another tokenizer needs more, the last stands again."""
    chunks = [
        each.chunks[min(number, len(each.chunks) - 1)]
        for each in prompts
        for number in range(count)
    ]
    return torch.tensor(chunks)
