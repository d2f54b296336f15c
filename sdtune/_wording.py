"""The grammar of sentences that are put together: plurals, and articles."""

import re
import unicodedata

__all__ = ["counted", "fitting", "with_article"]

# said with a vowel at the beginning: the silent h, and u but in "unicorn", "user", "ukulele"
_VOWEL = re.compile(
    r"[aeio]|hour|hono|honest|heir|u(?!ni(?!n|m|d)|s[aeiu]|sb\b|t[eio]|ran|ri|ku|k\b|fo\b)"
)
_ARTICLE = re.compile(r"(?P<article>(?:^[Aa]|(?<=\s)a)n?)\s+$")
_CONSONANT = re.compile(r"e[uw]|on(?:e|ce)\b")  # as "you" and "won" begin


def counted(number: int, one: str, several: str = "") -> str:
    """Count things in words.

    Args:
        number: How many.
        one: What one of them is called, such as "picture", or "picture has".
        several: What others are called; by default the same and an s.

    Returns:
        Such as "1 picture" and "1,200 pictures".
    """
    return f"1 {one}" if number == 1 else f"{number:,} {several or f'{one}s'}"


def fitting(before: str, words: str) -> str:
    """Let an article at the end of a text fit the words that follow it.

    Args:
        before: Such as "a photo of a ".
        words: Such as "umbrella". A word that is learned, `<umbrella>`, fits any article.

    Returns:
        "a photo of an ".
    """
    found = _ARTICLE.search(before)
    if found is None or not words[:1].isalpha():
        return before
    article = with_article(words).split()[0]
    article = article.capitalize() if found["article"][0] == "A" else article
    return before[: found.start("article")] + article + before[found.end("article") :]


def with_article(words: str) -> str:
    """Put "a" or "an" before words, by how the first of them is most likely said.

    Args:
        words: Such as "umbrella" or "unicorn".

    Returns:
        "an umbrella", "a unicorn".
    """
    letters = unicodedata.normalize("NFD", words.lower())  # an accent comes after its letter
    is_vowel = _VOWEL.match(letters) and not _CONSONANT.match(letters)
    return f"{'an' if is_vowel else 'a'} {words}"
