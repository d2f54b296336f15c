"""Words of a prompt that stand for other words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

__all__ = ["substitute"]


def substitute(prompt: str, substitutions: Mapping[str, str]) -> str:
    """Put the text that a word stands for in its place, as diffusers does for placeholders.

    A placeholder of several vectors is a token for each, `<erica> <erica>_1 <erica>_2`, of which
    people write the first. Written out in full it is replaced as a whole, so that to expand a
    prompt twice is to expand it once. Where one word begins with another, the longer one is read;
    what is put in place is not looked at again.

    Args:
        prompt: What the user wrote.
        substitutions: Word -> the text in its place. Upper and lower case are the same, as they
            are to CLIP's tokenizer.

    Returns:
        The prompt to be tokenized.
    """
    words = sorted(substitutions, key=len, reverse=True)
    if not words:
        return prompt

    def in_place(found: re.Match[str]) -> str:
        if found["further"]:  # one token of a word, which is no other word's beginning
            return found[0]
        return substitutions[words[(found.lastindex or 0) - 1]]

    either = "|".join(_pattern(word, words) for word in words)
    return re.sub(rf"(?:{either})(?P<further>_\d+)?", in_place, prompt, flags=re.IGNORECASE)


def _pattern(word: str, words: Iterable[str]) -> str:
    """Match a word with its further tokens, but not with another word that is called like one."""
    escaped = re.escape(word)
    token = rf"{escaped}_\d+"
    others = [re.escape(each) for each in words if re.fullmatch(token, each, re.IGNORECASE)]
    if others:
        token = rf"(?!(?:{'|'.join(others)})(?!\d)){token}"
    return rf"({escaped}(?:\s+{token})*)"
