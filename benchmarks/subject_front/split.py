"""Which subjects are tuned on, which are held out, and what is drawn of them.

All of it was named before the first run. nano has seen none of these individuals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sdtune.nano.making.objects import with_article
from sdtune.nano.making.scenes import Background
from sdtune.nano.making.sources import SOURCES, Source

__all__ = [
    "BACKGROUNDS",
    "CLASS_PROMPTS",
    "GROUNDS",
    "OF_CLASS",
    "PROMPTS",
    "SEEDS",
    "SUBJECTS",
    "VARIED",
    "Side",
    "Subject",
    "background_words",
    "subjects_of",
]

Side = Literal["tuning", "held_out"]
Making = Literal["set", "emoji", "limbs", "solids", "model"]


@dataclass(frozen=True)
class Subject:
    """One individual.

    Args:
        side: Whether settings are chosen on it, or only reported.
        noun: What a user would give as `class_noun`.
        made: How its pictures are made: of a shipped `set`, of a vendor's `emoji`, of drawn `limbs`
            or `solids`, or of a 3D `model`.
        seed: Seed of places and backgrounds.
        licence: Of the pictures.
        shows: What the ten pictures show.
        source: The package of an emoji.
        names: The emoji's names in it; a name that ends in `|` is mirrored.
    """

    side: Side
    noun: str
    made: Making
    seed: int
    licence: str
    shows: str
    source: Source | None = None
    names: tuple[str, ...] = ()


_STREAMLINE = Source(
    "streamline", "@iconify-json/streamline-emojis", "1.2.4", "CC-BY-4.0",
    "Streamline Emojis by Streamline",
)  # fmt: skip
_FXEMOJI = Source("fxemoji", "@iconify-json/fxemoji", "1.2.2", "Apache-2.0", "FxEmojis by Mozilla")

_MONKEY = ("monkeyface", "monkeyhear", "monkeysee", "monkeyspeak", "monkey")
_TABBY = (
    "cat-face", "grinning-cat-face", "grinning-cat-face-with-smiling-eyes",
    "cat-face-with-tears-of-joy", "smiling-cat-face-with-heart-eyes", "cat-face-with-wry-smile",
    "kissing-cat-face", "weary-cat-face", "crying-cat-face", "pouting-cat-face",
)  # fmt: skip
_WOMAN = (
    "person-frowning", "person-gesturing-no", "person-gesturing-ok", "person-pouting",
    "person-raising-hand", "person-tipping-hand", "person-getting-haircut",
    "person-getting-massage", "person-raising-hand|", "person-tipping-hand|",
)  # fmt: skip

SUBJECTS: dict[str, Subject] = {
    "cat": Subject(
        "tuning", "cat face", "set", 401, "CC-BY-SA-4.0", "EmojiOne 1's grey-blue cat, ten faces"
    ),
    "rabbit": Subject(
        "tuning", "rabbit face", "set", 402, "CC-BY-SA-4.0", "EmojiOne 1's tan rabbit, one face"
    ),
    "robot": Subject(
        "tuning", "robot", "limbs", 403, "Apache-2.0", "a whole figure in ten poses"
    ),
    "panda": Subject(
        "tuning", "panda", "model", 404, "BSD-3-Clause",
        "Panda3D's panda with cap and sunglasses, from ten sides",
    ),
    "car": Subject("held_out", "car", "solids", 405, "Apache-2.0", "a toy car from ten sides"),
    "monkey": Subject(
        "held_out", "monkey face", "emoji", 406, "Apache-2.0",
        "FxEmojis' monkey, four faces and one body, each twice", _FXEMOJI,
        (*_MONKEY, *(f"{name}|" for name in _MONKEY)),
    ),
    "tabby": Subject(
        "held_out", "cat face", "emoji", 407, "CC-BY-4.0", "Streamline's yellow cat, ten faces",
        _STREAMLINE, _TABBY,
    ),
    "woman": Subject(
        "held_out", "woman", "emoji", 408, "CC-BY-SA-4.0",
        "EmojiOne 1's woman in pink, ten gestures; nano knows no word for her",
        SOURCES["emojione-v1"], _WOMAN,
    ),
}  # fmt: skip

# Two pictures of each held-out subject are on each of these.
GROUNDS: tuple[str, ...] = ("gray", "green", "blue", "yellow", "purple")

# What is drawn: none of these is behind a subject's pictures, nor in a recipe's class prompts but
# for plain white and red.
BACKGROUNDS: tuple[Background, ...] = (
    Background("plain", ("white",)),
    Background("plain", ("brown",)),
    Background("plain", ("red",)),
    Background("striped", ("purple", "yellow"), angle=45),
    Background("striped", ("green", "white")),
    Background("striped", ("red", "black"), angle=90),
    Background("dotted", ("red", "white")),
    Background("dotted", ("blue", "pink")),
    Background("dotted", ("white", "green")),
    Background("checkered", ("orange", "blue")),
    Background("checkered", ("purple", "white")),
    Background("checkered", ("brown", "yellow")),
)


def background_words(background: Background) -> str:
    """Say where something is: "on a dotted red and white background"."""
    return f"on {with_article(background.caption)}"


PROMPTS: tuple[str, ...] = tuple(f"a {{subject}} {background_words(each)}" for each in BACKGROUNDS)

# What should stay: the class, and then others
CLASS_PROMPTS: tuple[str, ...] = (
    "a {class} on a striped white and pink background",
    "a {class} on a dotted green and yellow background",
    "a {class} on a black background",
    "a turtle on a blue background",
    "a house on a checkered pink and white background",
)
OF_CLASS = 3
"""How many of `CLASS_PROMPTS` are of the subject's class."""

# Backgrounds of class pictures for arms that vary them: neither those of photos nor of prompts.
VARIED: tuple[Background, ...] = (
    Background("plain", ("pink",)),
    Background("plain", ("orange",)),
    Background("striped", ("yellow", "blue")),
    Background("striped", ("pink", "gray"), angle=90),
    Background("dotted", ("yellow", "red")),
    Background("dotted", ("black", "orange")),
    Background("checkered", ("green", "pink")),
    Background("checkered", ("white", "gray")),
)

SEEDS: tuple[int, ...] = (0, 1, 2, 3)


def subjects_of(side: Side) -> list[str]:
    """Name the subjects of one side of the split."""
    return [name for name, subject in SUBJECTS.items() if subject.side == side]
