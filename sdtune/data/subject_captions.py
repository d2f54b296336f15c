"""A subject's words in captions: in those that are there, and in those that are made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sdtune._prompt_fields import Subject
from sdtune._wording import fitting, with_article

__all__ = ["SMALL_WORDS", "SubjectCaptions", "chosen_words", "made_caption"]

SMALL_WORDS = (
    *("a", "an", "the", "my", "your", "his", "her", "its", "our", "their", "of", "in", "on", "at"),
    *("to", "for", "from", "with", "and", "or"),
)
"""Words of a noun, such as "bottle of wine", that do not stand for it."""


@dataclass(frozen=True)
class SubjectCaptions:
    """Puts what the tuned model reads for a subject into captions that name what it is.

    Args:
        subject: The subject; None leaves captions as they are, but for `replacements`.
        replacements: Words of captions -> what stands in their places, instead of the noun and the
            subject's words. Whole words, the longest first.
    """

    subject: Subject | None = None
    replacements: Mapping[str, str] | None = None

    def finds_words(self, caption: str) -> bool:
        """Tell whether a caption holds words to be replaced, or the subject's own already."""
        if self.replacements:
            return self._replaced(caption, self.replacements) != caption
        return self.subject is None or self._in_place_of_noun(caption, self.subject) is not None

    def named(self, caption: str) -> str:
        """Name the subject in a caption.

        Args:
            caption: What is said of a picture, such as "a robot on grass".

        Returns:
            "a qqq robot on grass". Where the whole noun is missing, the first of its words that is
            there is taken for it, "of" and "my" apart; a caption without any begins with the
            subject: "a qqq robot, on grass".
        """
        if self.replacements:
            return self._replaced(caption, self.replacements)
        if self.subject is None:
            return caption
        named = self._in_place_of_noun(caption, self.subject)
        if named is None:
            return f"{with_article(self.subject.tuned)}, {caption}"
        return named

    def _in_place_of_noun(self, caption: str, subject: Subject) -> str | None:
        """Put the subject's words in the noun's place; None if no word of the noun is there."""
        own = [subject.tuned, subject.placeholder or subject.name or subject.identifier]
        if any(_whole(each).search(caption) for each in own if each):
            return caption
        if found := _whole(subject.noun).search(caption):
            before = fitting(caption[: found.start()], subject.tuned)
            return before + subject.tuned + caption[found.end() :]
        for word in (each for each in subject.noun.split() if each.lower() not in SMALL_WORDS):
            # an identifier stands before what the caption calls the subject
            if found := _whole(word).search(caption):
                words = subject.name or subject.placeholder or f"{subject.identifier} {found[0]}"
                if subject.name and subject.replaced == word:
                    words = subject.word
                before = fitting(caption[: found.start()], words.strip())
                return before + words.strip() + caption[found.end() :]
        return None

    @staticmethod
    def _replaced(caption: str, replacements: Mapping[str, str]) -> str:
        words = sorted(replacements, key=len, reverse=True)
        pattern = rf"\b(?:{'|'.join(map(re.escape, words))})\b"
        return re.sub(pattern, lambda match: replacements[match[0]], caption)


def chosen_words(subject: Subject, initializer: str) -> str:
    """Say which words were chosen for a subject.

    Args:
        subject: The subject.
        initializer: What the word that is learned for it starts from; empty where none is.
    """
    word = f", a new word that starts from `{initializer}`," if initializer else ""
    return (
        f"prompts and captions call the subject `{subject.tuned}`{word} and its class "
        f"`{subject.noun}`; base and judges read the latter for both."
    )


def made_caption(subject: Subject, beside: str) -> str:
    """Put together a caption for a picture that has none.

    Args:
        subject: What it shows.
        beside: What else is there, such as "on a green background", or tags behind a comma; may be
            empty.

    Returns:
        Such as "a {subject} on a green background", with the field.
    """
    article = with_article(subject.tuned).split()[0]
    joint = "" if beside[:1] in ("", ",") else " "
    return f"{article} {{subject}}{joint}{beside}"


def _whole(words: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(words)}(?!\w)", re.IGNORECASE)
