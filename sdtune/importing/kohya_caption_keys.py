"""kohya's keys of captions, and what becomes of each.

There the prefix and the suffix become part of the caption before its tags are counted, shuffled and
left out (sd-scripts, `process_caption`). Here they stand outside of all that.
"""

from __future__ import annotations

from typing import Any

from sdtune._wording import counted
from sdtune.importing.kohya_settings import KohyaSettings
from sdtune.importing.outcome import (
    Entry,
    Outcome,
    boolean,
    integer,
    needs,
    number_or,
    only_if,
    share,
    special,
    take,
    without,
)

__all__ = ["CAPTION_KEYS"]

_EXTENSIONS = (".txt", ".caption")


def _extension(value: Any, _: KohyaSettings) -> Outcome:
    if value in _EXTENSIONS:
        return Outcome("taken over", note="`.txt` and `.caption` are both read")
    return Outcome("no equal", note="such files are not read: rename them to `.txt`")


def _draws_tags(settings: KohyaSettings) -> bool:
    dropout = number_or(0, settings.get("caption_tag_dropout_rate"))
    return settings.on("shuffle_caption") or dropout > 0


def _tags_of_prefix(settings: KohyaSettings) -> int:
    """Count the tags that the prefix ends; what is behind its last comma joins the caption's."""
    return str(settings.get("caption_prefix", "")).count(",")


def _prefix(value: Any, settings: KohyaSettings) -> Outcome:
    words = str(value)
    ours = {"data.caption_prefix": words}
    joins_a_tag = not words.rstrip().endswith(",")
    needed = _tags_of_prefix(settings) + joins_a_tag
    kept = number_or(0, settings.get("keep_tokens"))
    if not words.strip() or not _draws_tags(settings) or kept >= needed:
        return Outcome("taken over", ours)
    joined = ", the last with the first words of the caption" if joins_a_tag else ""
    note = (
        f"here it stays first, and whole; there it is {counted(needed, 'tag')}{joined}, and those "
        "beyond `keep_tokens` are drawn like others: for that, write it into the captions"
    )
    return Outcome("no equal", ours, note)


def _suffix(value: Any, settings: KohyaSettings) -> Outcome:
    ours = {"data.caption_suffix": str(value)}
    if not str(value).strip() or not _draws_tags(settings):
        return Outcome("taken over", ours)
    note = (
        "here it stays last, and whole; there its tags are drawn like others: for that, write it "
        "into the captions"
    )
    return Outcome("no equal", ours, note)


def _keep_tokens(value: Any, settings: KohyaSettings) -> Outcome:
    kept, before = integer(0)(value), _tags_of_prefix(settings)
    note = f"without the {before} of `caption_prefix`, which are counted there" if before else ""
    return Outcome("taken over", {"data.keep_tokens": max(0, kept - before)}, note)


def _separator(value: Any, _: KohyaSettings) -> Outcome:
    if str(value).strip() == ",":
        return Outcome("taken over", note="a comma, as here")
    return Outcome("no equal", note="tags are parted by commas")


_OTHERS = "tags are parted by commas, and those that stay are counted by `data.keep_tokens`"
_CLEAR = "every tag is there from the first step"

CAPTION_KEYS: dict[str, Entry] = {
    "caption_extension": special("`.txt` and `.caption` are both read; others: none", _extension),
    "caption_extention": special("`.txt` and `.caption` are both read; others: none", _extension),
    "caption_prefix": special(
        "`data.caption_prefix`; tags of it that are drawn: none, for it stays in its place", _prefix
    ),
    "caption_suffix": special(
        "`data.caption_suffix`; beside tags that are drawn: none, for it stays in its place",
        _suffix,
    ),
    "shuffle_caption": take("data.shuffle_tags", boolean),
    "keep_tokens": special("`data.keep_tokens`, without those of `caption_prefix`", _keep_tokens),
    "caption_dropout_rate": take("data.caption_dropout", share),
    "caption_tag_dropout_rate": take("data.tag_dropout", share),
    "caption_dropout_every_n_epochs": without("captions are left out by chance, in no epoch all"),
    "caption_separator": special("a comma; others: none", _separator),
    "keep_tokens_separator": only_if(
        _draws_tags, "no tags are drawn: it changes nothing there, either", without(_OTHERS)
    ),
    "secondary_separator": without(_OTHERS),
    "enable_wildcard": without("`{a|b}` in a caption is read as it stands"),
    "token_warmup_min": needs("token_warmup_step", without(_CLEAR, off=(False, 0, 1))),
    "token_warmup_step": without(_CLEAR),
}
"""Key -> what becomes of it."""
