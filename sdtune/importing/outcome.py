"""What becomes of one setting of another trainer, and the table's entry that decides it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from sdtune.importing.kohya_settings import KohyaSettings

__all__ = [
    "Check",
    "Convert",
    "Entry",
    "Fate",
    "Outcome",
    "UnfitError",
    "boolean",
    "choice",
    "idle",
    "integer",
    "needs",
    "number",
    "number_or",
    "only_if",
    "share",
    "special",
    "take",
    "text",
    "without",
]

Fate = Literal["taken over", "no equal", "meaningless here", "unknown"]

Check = Callable[[Any], Any]
"""Gives the value that a recipe has; raises `UnfitError`."""


class UnfitError(ValueError):
    """A value that no recipe can have; the message says what was expected."""


@dataclass(frozen=True)
class Outcome:
    """What becomes of a setting.

    Attributes:
        fate: Which list it is in.
        ours: Key of a recipe, such as `model.rank` or `SampleGrid.prompts` -> value.
        note: What there is to know of it.
    """

    fate: Fate
    ours: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


Convert = Callable[[Any, "KohyaSettings"], Outcome]
"""From a key's value, and all settings, to what becomes of it."""


@dataclass(frozen=True)
class Entry:
    """A key that is known.

    Attributes:
        here: What the documentation says of it.
        convert: From its value, and all settings, to what becomes of it.
    """

    here: str
    convert: Convert


def take(target: str, check: Check, note: str = "") -> Entry:
    """Take a value over.

    Args:
        target: The recipe's key.
        check: Checks the value.
        note: What there is to know of it.
    """
    return Entry(
        f"`{target}`{f': {note}' if note else ''}",
        lambda value, _: Outcome("taken over", {target: check(value)}, note),
    )


def special(here: str, convert: Convert) -> Entry:
    """Decide by the value and by other settings.

    Args:
        here: What the documentation says.
        convert: Decides.
    """
    return Entry(here, convert)


def without(meaning: str, off: Collection[Any] = (False, 0, "", "none", "None")) -> Entry:
    """Say that there is no equal.

    Args:
        meaning: What that means for the result.
        off: Values that ask for nothing, and so lose nothing.
    """

    def convert(value: Any, _: KohyaSettings) -> Outcome:
        if not isinstance(value, list | dict) and value in off:
            return Outcome("meaningless here", note="off, as here")
        return Outcome("no equal", note=meaning)

    return Entry(f"none: {meaning}", convert)


def idle(reason: str) -> Entry:
    """Say that it means nothing here, and changes no result.

    Args:
        reason: Why.
    """
    return Entry(f"not needed: {reason}", lambda *_: Outcome("meaningless here", note=reason))


def only_if(applies: Callable[[KohyaSettings], bool], reason: str, entry: Entry) -> Entry:
    """Say that a key changes nothing there either, unless other settings make it count.

    Args:
        applies: Whether they do.
        reason: Why it changes nothing otherwise.
        entry: What becomes of it if they do.
    """

    def convert(value: Any, settings: KohyaSettings) -> Outcome:
        if not applies(settings):
            return Outcome("meaningless here", note=reason)
        return entry.convert(value, settings)

    return Entry(entry.here, convert)


def needs(others: str, entry: Entry) -> Entry:
    """Say that a key changes nothing there either without another one.

    Args:
        others: Keys parted by spaces, of which one that is not off is enough.
        entry: What becomes of it beside that.
    """
    keys = others.split()
    named = " or ".join(f"`{each.rpartition('.')[2]}`" for each in keys)

    def is_given(settings: KohyaSettings) -> bool:
        values = [settings.get(each) for each in keys]
        return any(each not in (None, False, 0, "", "0", "false", "False") for each in values)

    return only_if(is_given, f"without {named} it changes nothing there, either", entry)


def number(least: float | None = None, above: float | None = None) -> Check:
    """Make a check of a finite number.

    Args:
        least: The least that it may be.
        above: What it has to be above.
    """
    words = "a number"
    if above == 0:
        words = "a positive number"
    elif above is not None:
        words = f"a number above {above}"
    elif least is not None:
        words = f"a number of {least} or more"

    def check(value: Any) -> float:
        found = _number(value)
        if found is None or (least is not None and found < least):
            raise UnfitError(words)
        if above is not None and not found > above:
            raise UnfitError(words)
        return found

    return check


def number_or(default: float, value: Any) -> float:
    """Read a number of another key, whose own entry refuses what is none.

    Args:
        default: What is taken in the place of no number.
        value: That key's value.
    """
    found = _number(value)
    return default if found is None else found


def share(value: Any) -> float:
    """Check a number in [0, 1]."""
    found = _number(value)
    if found is None or not 0 <= found <= 1:
        raise UnfitError("a number in [0, 1]")
    return found


def integer(least: int = 1, most: int | None = None) -> Check:
    """Make a check of an integer.

    Args:
        least: The least that it may be.
        most: The most that it may be.
    """
    words = (
        f"an integer of {least} or more" if most is None else f"an integer from {least} to {most}"
    )

    def check(value: Any) -> int:
        found = _number(value)
        if found is None or found != int(found) or found < least:
            raise UnfitError(words)
        if most is not None and found > most:
            raise UnfitError(words)
        return int(found)

    return check


def boolean(value: Any) -> bool:
    """Check a truth."""
    if value in ("true", "false", "True", "False"):
        return str(value).lower() == "true"
    if not isinstance(value, bool):
        raise UnfitError("true or false")
    return value


def text(value: Any) -> str:
    """Check a text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise UnfitError("a text")
    return value


def choice(choices: Mapping[str, Any]) -> Check:
    """Make a check of a name, whatever its case.

    Args:
        choices: Name in small letters -> the recipe's value.
    """

    def check(value: Any) -> Any:
        name = str(value).lower()
        if name not in choices:
            raise UnfitError("one of " + ", ".join(f"`{each}`" for each in choices))
        return choices[name]

    return check


def _number(value: Any) -> float | None:
    if isinstance(value, str):  # as `network_args` and hand-written files have them
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None
