"""Recipes of a call that are not there, told before anything heavy is imported."""

from collections.abc import Iterator, Sequence

from sdtune.commands.errors import CallError
from sdtune.commands.recipe import options, recipe_file

__all__ = ["missing_recipes"]

_FIRST = ("check", "estimate")
"""Commands whose first word is a recipe; they and `fit` take others by `--config`."""

_OF_A_TEXT = (":", "{", "\n")  # a recipe may also be given as a text
_TOLD_OTHERWISE = "--json"


def missing_recipes(command: str, arguments: Sequence[str]) -> list[str]:
    """List the recipes that a call names and that are not there.

    Args:
        command: Such as `fit`.
        arguments: The command line after it.

    Returns:
        One sentence each; none where the command takes no recipes, or would print them as data.
    """
    if command not in ("fit", *_FIRST) or _TOLD_OTHERWISE in arguments:
        return []
    words = list(arguments)
    if command in _FIRST and words and not words[0].startswith("-"):
        words.insert(0, "--config")
    return [problem for name in _named(words) for problem in _problems(name)]


def _named(words: Sequence[str]) -> Iterator[str]:
    try:
        yield from (value for name, value in options(words) if name == "config" and value)
    except CallError:  # the command says it, with all else that is wrong
        return


def _problems(name: str) -> list[str]:
    if any(sign in name for sign in _OF_A_TEXT):
        return []
    try:
        recipe_file(name)
    except CallError as error:
        return error.problems
    return []
