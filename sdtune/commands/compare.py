"""`sdtune compare`: several recipes or settings on one budget and one evaluation, in one table."""

import shlex
from collections.abc import Sequence

from sdtune.commands.call import read_call
from sdtune.commands.compare_call import CompareCall

__all__ = ["main"]

_PASSED_ON = ("model", "data", "trainer", "seed", "trust")


def main(arguments: Sequence[str]) -> int:
    """Run `sdtune compare`.

    Args:
        arguments: The command line after it.

    Returns:
        The exit code: 0, or 1 if a run failed.

    Raises:
        CallError: If the call, a recipe or the data is wrong; it lists every problem.
        ValueError: If the finished runs were not scored in the same way.
    """
    own, passed_on = _split(arguments)
    call = CompareCall(**read_call(CompareCall, "sdtune compare", own))
    from sdtune.commands.comparing import run_comparison  # only now: it brings torch along

    return run_comparison(call, passed_on, shlex.join(["sdtune", "compare", *arguments]))


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Take the overrides of the recipes out of a command line, as one word each."""
    own: list[str] = []
    passed_on: list[str] = []
    words = list(arguments)
    while words:
        word = words.pop(0)
        name, equals, _ = word.partition("=")
        if not word.startswith("--") or name.lstrip("-").split(".")[0] not in _PASSED_ON:
            own.append(word)
        elif equals or not words or words[0].startswith("--"):
            passed_on.append(word)
        else:
            passed_on.append(f"{word}={words.pop(0)}")
    return own, passed_on
