"""Words of a prompt that stand for other words."""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["substitute"]


def substitute(prompt: str, substitutions: Mapping[str, str]) -> str:
    """Put the text that a word stands for in its place, as diffusers does for placeholders.

    A placeholder of several vectors is a token for each, `<erica> <erica>_1 <erica>_2`, of which
    people write the first. Written out in full it is replaced as a whole, so that to expand a
    prompt twice is to expand it once.

    Args:
        prompt: What the user wrote.
        substitutions: Word -> the text in its place. Upper and lower case are the same, as they
            are to CLIP's tokenizer.

    Returns:
        The prompt to be tokenized.
    """
    for word, text in substitutions.items():
        escaped = re.escape(word)
        pattern = rf"{escaped}(?:\s+{escaped}_\d+)*(?!_\d)"
        literal = text.replace("\\", r"\\")
        prompt = re.sub(pattern, literal, prompt, flags=re.IGNORECASE)
    return prompt
