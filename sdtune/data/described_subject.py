"""The subject in what a captioner says of a picture: found, and left to its own words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from sdtune._prompt_fields import Subject
from sdtune._wording import with_article
from sdtune.data.subject_captions import SMALL_WORDS, made_caption

__all__ = ["described"]

_THINGS = (
    *("toy", "figurine", "figure", "doll", "plush", "statue", "sculpture", "object", "thing"),
    *("item", "animal", "creature", "character", "pet"),
)
_KINDS: tuple[tuple[str, ...], ...] = (
    ("person", "man", "woman", "boy", "girl", "child", "kid", "baby", "lady", "guy", "face"),
    ("dog", "puppy", "pup"),
    ("cat", "kitten", "kitty"),
    ("car", "vehicle"),
)
_BEHIND = (  # words that end what a thing is called; so do those in -ing
    *("on", "in", "at", "under", "over", "near", "by", "beside", "behind", "before", "above"),
    *("below", "against", "along", "across", "around", "with", "without", "of", "from", "to"),
    *("next", "inside", "outside", "between", "among", "within", "through", "while", "as", "for"),
    *("is", "are", "was", "that", "which", "who", "it", "made", "covered", "placed", "seated"),
)
_ARTICLES = r"an?|the|one|this|that|another|my|your|his|her|its|their|some"
_ENDS = rf"(?=\s*(?:$|[,.;:!?)]|(?:{'|'.join(_BEHIND)}|and|or|\w+ing)\b))"
_LOOK = (  # no more than six words, of which the first may be such as "sitting"
    rf"(?:\w+ing\s+)?(?:(?!(?:{'|'.join(_BEHIND)}|{_ARTICLES}|\w+ing)\b)"
    rf"(?!(?:and|or)\s+(?:{_ARTICLES})\b)[\w'-]+,?\s+){{0,5}}?"
)


def described(text: str, subject: Subject) -> str:
    """Put the subject's field where a captioner's text names the subject.

    Its looks, the words between article and noun, are left out: the caption shall name what is
    *not* the subject.

    Args:
        text: What was said of a picture, such as "a small blue robot standing on a table".
        subject: What it shows.

    Returns:
        "a {subject} standing on a table". Where the noun is missing, one of its words stands for
        it, or what such things are called in general: "a toy on a table". Where none of these is
        there, the subject stands before all: "a photo of {subject}, a table".
    """
    text = " ".join(_composed(text.replace("{", "(").replace("}", ")")).split())
    if not text:
        return made_caption(subject, "")
    for pattern in _patterns(_composed(subject.noun)):
        if found := pattern.search(text):
            article = (found["article"] or "a").lower()
            if article in ("a", "an"):
                article = with_article(subject.tuned).split()[0]
            return f"{text[: found.start()]}{article} {{subject}}{text[found.end() :]}"
    return f"a photo of {{subject}}, {text.removeprefix(', ')}"


def _composed(text: str) -> str:
    """Write each letter with its accents as one, however they were typed."""
    return unicodedata.normalize("NFC", text)


def _patterns(noun: str) -> Iterator[re.Pattern[str]]:
    """List what may name the subject, the surest first."""
    parts = noun.lower().split()
    kinds = [names for names in _KINDS if parts[-1] in names]
    yield _called([noun], ends=_ENDS)
    yield _called([noun], start="^")  # "a robot walks on grass"
    alone = [each for each in parts if each not in SMALL_WORDS] if len(parts) > 1 else []
    for part in reversed(alone):
        yield _called([part], ends=_ENDS)
    yield _called([name for names in kinds or [_THINGS] for name in names], ends=_ENDS)


def _called(names: list[str], start: str = "", ends: str = "") -> re.Pattern[str]:
    either = "|".join(map(re.escape, names))
    again = rf"(?:\s+(?:{either}|{'|'.join(_THINGS)})\b)*"  # "a robot toy", "a robot robot"
    # a noun may begin and end with what is no letter: "Erica's mug!"
    called = rf"(?<!\w)(?:(?P<article>{_ARTICLES})\s+{_LOOK})?(?:{either})(?!\w){again}"
    return re.compile(f"{start}{called}{ends}", re.IGNORECASE)
