"""`sdtune compare`: several recipes or settings on one budget and one evaluation, in one table."""

import shlex
from collections.abc import Sequence

from sdtune.commands.call import read_call
from sdtune.commands.compare_call import CompareCall
from sdtune.commands.recipe import part_options

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
    own, passed_on = part_options(arguments, lambda name: name.split(".")[0] in _PASSED_ON)
    call = CompareCall(**read_call(CompareCall, "sdtune compare", own))
    from sdtune.commands.comparing import run_comparison  # only now: it brings torch along

    return run_comparison(call, passed_on, shlex.join(["sdtune", "compare", *arguments]))
