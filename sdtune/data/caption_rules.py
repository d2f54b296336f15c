"""What a sample is told of a picture: one of its captions, with its tags drawn anew."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from math import factorial

from sdtune._checks import check_all, check_not_negative, check_share
from sdtune.functional.randomness import Stream, counter_uniform

__all__ = ["CaptionRules"]

_ORDER, _KEPT = 0, 1

# `;d` and `;)` are tags, as `...` is, and no dividers
_DIVIDERS = re.compile(r"(?:[,\s]|;(?=[,;\s]|$))+")
_DIVIDER = re.compile(r",|[;.](?=[,;.\s]|$)")


@dataclass(frozen=True)
class CaptionRules:
    """How the caption of a sample is made out of those of its picture.

    Tags are what commas divide a caption into. All draws are functions of (seed, epoch, index).

    Args:
        prefix: Words before every caption, which no draw touches.
        suffix: Words after every caption, likewise.
        shuffle_tags: Whether tags come in a new order in every sample.
        tag_dropout: Share of the tags that a sample leaves out, in [0, 1].
        keep_tokens: Tags at the caption's beginning that stay in their place. `prefix` is none
            of them.
    """

    prefix: str = ""
    suffix: str = ""
    shuffle_tags: bool = False
    tag_dropout: float = 0.0
    keep_tokens: int = 0

    def check(self) -> None:
        """Check the ranges, by the names that a data module's arguments have.

        Raises:
            ValueError: If values are out of their ranges, with a line for each.
        """
        check_all(
            lambda: check_share("tag_dropout", self.tag_dropout),
            lambda: check_not_negative("keep_tokens", self.keep_tokens),
        )

    @property
    def draws_tags(self) -> bool:
        """Whether a caption can come in more than one form."""
        return self.shuffle_tags or self.tag_dropout > 0

    def undrawn(self) -> CaptionRules:
        """Give the rules that leave tags as they are."""
        return CaptionRules(self.prefix, self.suffix)

    def with_words(self, words: str) -> CaptionRules:
        """Give the rules that add words to every caption, after a comma and at its very end."""
        return replace(self, suffix=_joined(self.suffix, f", {words}"))

    def whole(self, caption: str) -> str:
        """Put prefix and suffix around a caption, and leave its tags as they are.

        Of one that is empty, as where all tags were left out, no comma remains either. The caption
        itself loses nothing: its first tag may be `;d`.
        """
        if not self.prefix and not self.suffix:
            return caption
        before, after = self.prefix.strip(), self.suffix.strip()
        if caption.strip():
            return _joined(_joined(before, caption, is_caption=True), after)
        if before.endswith((",", ";")):
            after = _without_dividers(after)
        before = before if after else before.rstrip(",; ")
        return _without_dividers(_joined(before, after))

    def drawn(self, captions: Sequence[str], seed: int, epoch: int, index: int) -> str:
        """Make the caption of a sample.

        Args:
            captions: Those of its picture, one or more, without prefix and suffix.
            seed: The seed of the data.
            epoch: The epoch.
            index: Which sample of it.

        Returns:
            One of the captions, its tags drawn, between prefix and suffix.
        """
        caption = captions[0]
        if len(captions) > 1:
            draw = counter_uniform(seed, Stream.CAPTION, epoch, index)
            caption = captions[int(draw * len(captions))]
        if self.draws_tags:
            caption = self._tags_drawn(caption, seed, epoch, index)
        return self.whole(caption)

    def forms(self, caption: str, at_most: int) -> list[str] | None:
        """List all that can become of a caption.

        Args:
            caption: A caption, without prefix and suffix.
            at_most: How many are too many to list.

        Returns:
            Every form, as `drawn` makes them; None if there are more than that.
        """
        if not self.draws_tags:
            return [self.whole(caption)]
        kept, loose = self._divided(caption)
        count = factorial(len(loose)) if self.shuffle_tags and len(loose) < 20 else 1
        if self.tag_dropout > 0:
            count *= 2 ** len(loose)
        if count > at_most or (self.shuffle_tags and len(loose) >= 20):
            return None
        orders = permutations(loose) if self.shuffle_tags else [tuple(loose)]
        forms = [
            self.whole(", ".join([*kept, *some]))
            for order in orders
            for some in (_subsets(order) if self.tag_dropout > 0 else [order])
        ]
        return list(dict.fromkeys(forms))

    def _tags_drawn(self, caption: str, seed: int, epoch: int, index: int) -> str:
        kept, loose = self._divided(caption)

        def draw(purpose: int, number: int) -> float:
            return counter_uniform(seed, Stream.TAGS, epoch, index, purpose, number)

        numbers = [n for n in range(len(loose)) if draw(_KEPT, n) >= self.tag_dropout]
        if self.shuffle_tags:
            numbers.sort(key=lambda number: draw(_ORDER, number))
        return ", ".join([*kept, *(loose[number] for number in numbers)])

    def _divided(self, caption: str) -> tuple[list[str], list[str]]:
        """Give the tags that stay and those that are drawn."""
        tags = [tag for each in caption.split(",") if (tag := each.strip())]
        return tags[: self.keep_tokens], tags[self.keep_tokens :]


def _joined(before: str, after: str, *, is_caption: bool = False) -> str:
    """Put a space between two parts, unless the second begins with a comma or the like.

    Args:
        before: The first, which may be empty.
        after: The second, likewise.
        is_caption: Whether that is a caption, whose first tag may begin as dividers do.
    """
    before, after = before.strip(), after.strip()
    if not before or not after:
        return before or after
    is_divided = after[0] == "," or (after[0] in ";." and before[-1] not in ",;")
    is_divided &= not is_caption or _DIVIDER.match(after) is not None
    return f"{before}{after}" if is_divided else f"{before} {after}"


def _without_dividers(text: str) -> str:
    """Take away the commas and the like that a text begins with."""
    found = _DIVIDERS.match(text)
    return text[found.end() :] if found else text


def _subsets(tags: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [
        tuple(tag for place, tag in enumerate(tags) if number >> place & 1)
        for number in range(2 ** len(tags))
    ]
