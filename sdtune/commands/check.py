"""`sdtune check`: list all that is wrong with a recipe and its data, without training."""

from collections.abc import Sequence

from sdtune.commands.call import read_call
from sdtune.commands.errors import CallError
from sdtune.commands.recipe import options

__all__ = ["check", "main"]


def main(arguments: Sequence[str]) -> int:
    """Run `sdtune check`.

    Args:
        arguments: The command line after it: a recipe, then overrides; or all that `sdtune fit`
            takes.

    Returns:
        The exit code, 0.

    Raises:
        CallError: If there are problems; it lists every one.
    """
    words = list(arguments)
    if {"-h", "--help"} & set(words):
        read_call(check, "sdtune check", ["--help"])
    if words and not words[0].startswith("-"):
        words.insert(0, "--config")
    recipes = [value for name, value in options(words) if name == "config" and value]
    if not recipes:
        raise CallError(["Expected a recipe: sdtune check RECIPE.yaml [--key value ...]."])
    check(recipes[-1], *words)
    return 0


def check(recipe: str, *words: str) -> None:
    """List all that is wrong with a recipe and its data, without training.

    What this accepts, `sdtune fit` starts, with the same options: `sdtune fit --help` lists them.

      sdtune check recipes/style_lora.yaml
      sdtune check recipes/style_lora.yaml --data.folder photos/ --model.rank 8

    Args:
        recipe: A recipe.
        *words: The whole call, as for `sdtune fit`.

    Raises:
        CallError: With every problem.
    """
    # only now: they bring torch along
    from sdtune.commands.building import SaysWhatIsCut, SaysWhatItFound
    from sdtune.commands.quiet import quiet_devices, quiet_misleading_messages
    from sdtune.commands.recipe_cli import RecipeCLI

    quiet_misleading_messages()
    with quiet_devices():
        cli = RecipeCLI(words)
    found = cli.datamodule.found() if isinstance(cli.datamodule, SaysWhatItFound) else []
    if isinstance(cli.model, SaysWhatIsCut):
        found += cli.model.notes_with(cli.datamodule)
    print(*found, *cli.notes, f"{recipe}: no problems found.", sep="\n")
