"""`sdtune check`: list all that is wrong with a recipe and its data, without training."""

from collections.abc import Sequence

from sdtune.commands.errors import CallError
from sdtune.commands.problems import list_problems
from sdtune.commands.quiet import quiet_misleading_messages
from sdtune.commands.recipe import read_recipe

__all__ = ["main"]


def main(arguments: Sequence[str]) -> int:
    """Check a recipe and its data.

    Args:
        arguments: The command line after `sdtune check`: a recipe, then overrides.

    Returns:
        The exit code, 0.

    Raises:
        CallError: If there are problems; it lists every one.
    """
    if not arguments or arguments[0].startswith("-"):
        raise CallError(["Expected a recipe: sdtune check RECIPE.yaml [--key value ...]."])
    quiet_misleading_messages()
    recipe, *overrides = arguments
    problems = list_problems(read_recipe(["--config", recipe, *overrides]))
    if problems:
        raise CallError(problems)
    print(f"{recipe}: no problems found.")
    return 0
