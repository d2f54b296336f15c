"""Keys of a recipe as a call, a comparison and its runs give them, in one spelling."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sdtune.comparison.settings import Comparison

__all__ = ["last_given", "plain_key", "twice_given", "words_of"]


def plain_key(key: str) -> str:
    """Spell a key as one types it: `model.init_args.rank` is `model.rank`."""
    return ".".join(part for part in key.split(".") if part != "init_args")


def words_of(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Split overrides of a command line.

    Args:
        words: Such as ["--model.rank=8", "--seed", "3"].

    Yields:
        The key, and its value; empty for an option without one.
    """
    for word, after in zip(words, [*words[1:], ""], strict=False):
        if word.startswith("--"):
            key, equals, value = word.removeprefix("--").partition("=")
            yield plain_key(key), value if equals else "" if after.startswith("--") else after


def last_given(words: Sequence[str], key: str) -> str | None:
    """Find what a command line comes to for a key; None if it does not give it."""
    return dict(words_of(words)).get(key)


def twice_given(comparison: Comparison, words: Sequence[str], is_sweep: bool) -> list[str]:
    """Say which keys of runs are given to all runs too, so that a run is not what it is called.

    Args:
        comparison: What is compared.
        words: Overrides of the call, for all runs.
        is_sweep: Whether its runs are the points of a grid.

    Returns:
        A sentence for each key.
    """
    of_all = {key for key, _ in words_of(words)}
    if comparison.budget_steps is not None:
        of_all |= {"trainer.max_steps", "trainer.max_epochs"}
    if comparison.budget_minutes is not None:
        of_all.add("trainer.max_time")
    problems = list(_named_again("`overrides`", comparison.overrides))
    for name, run in comparison.runs.items():
        where = "`--sweep`" if is_sweep else f"`runs.{name}.overrides`"
        problems += _named_again(where, run.overrides)
        problems += (
            f"Expected `{key}` in {where} alone, but the call or its budget gives it to every run."
            for key in _keys(run.overrides)
            if any(f"{plain_key(key)}.".startswith(f"{each}.") for each in of_all)
        )
    return list(dict.fromkeys(problems))


def _named_again(where: str, overrides: Mapping[str, Any]) -> Iterator[str]:
    seen: set[str] = set()
    for key in map(plain_key, _keys(overrides)):
        if key in seen:
            yield f"Expected {where} to name each key once, but got `{key}` again."
        seen.add(key)


def _keys(overrides: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """List keys, those inside of mappings too."""
    for key, value in overrides.items():
        if isinstance(value, dict):
            yield from _keys(value, f"{above}{key}.")
        else:
            yield f"{above}{key}"
