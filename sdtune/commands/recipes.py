"""`sdtune recipes`: list the recipes that come with sdtune, and copy one to edit."""

import re
from collections.abc import Sequence
from pathlib import Path

from sdtune.commands.call import read_call
from sdtune.commands.errors import CallError, nearest
from sdtune.commands.shipped_recipes import shipped_recipes
from sdtune.files.new_file import new_file_problem
from sdtune.files.printable_text import show

__all__ = ["copy", "main"]

_USAGE = "sdtune recipes, or sdtune recipes copy NAME FOLDER"
_HELP = f"""\
usage: {_USAGE}

The recipes that come with sdtune. `lightning run NAME` trains by one wherever you are, and every
other command takes the name in the place of a file. `copy` makes a copy to edit.

  sdtune recipes
  sdtune recipes copy style_lora my_recipes
  lightning run my_recipes/style_lora.yaml
"""


def main(arguments: Sequence[str]) -> int:
    """Run `sdtune recipes`.

    Args:
        arguments: The command line after it: nothing, or `copy` and its own.

    Returns:
        The exit code, 0.

    Raises:
        CallError: If the call is wrong, there is no such recipe, or a file is in the way.
    """
    action, *rest = arguments or [""]
    if action in ("-h", "--help"):
        show(*_HELP.splitlines())
    elif action == "copy":
        show(copy(**read_call(copy, "sdtune recipes copy", rest)))
    elif action in ("", "list") and not rest:
        _list()
    else:
        got = " ".join(arguments)
        raise CallError([f"Expected {_USAGE}, but got `{got}`{nearest(action, ['copy'])}"])
    return 0


def copy(name: str, folder: Path) -> Path:
    """Copy a recipe that comes with sdtune into a folder, to edit it. Nothing is overwritten.

      sdtune recipes copy style_lora my_recipes
      sdtune recipes copy sd14/dreambooth .

    Args:
        name: Of the recipe, as `sdtune recipes` lists it.
        folder: Where the copy goes; it is made if it is not there.

    Returns:
        The copy.

    Raises:
        CallError: If there is no such recipe, or a file of its name is there already.
    """
    known = _known()
    if name not in known:
        raise CallError(
            [
                f"Expected the name of a recipe that comes with sdtune, but got `{name}`"
                f"{nearest(name, known)} `sdtune recipes` lists them."
            ]
        )
    source = known[name]
    target = folder / source.name
    if problem := new_file_problem(target):
        raise CallError([problem])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            file.write(source.read_bytes())
    except OSError as error:
        raise CallError(
            [f"Expected to write `{target}`, but {str(error.strerror).lower()}."]
        ) from error
    return target


def _list() -> None:
    known = _known()
    width = max(map(len, known))
    for name, path in known.items():
        show(f"{name:{width}}  {_title(path)}")
    show("", "train: lightning run NAME", "copy:  sdtune recipes copy NAME FOLDER")


def _known() -> dict[str, Path]:
    known = dict(shipped_recipes())
    if not known:
        raise CallError(
            ["Expected recipes to come with sdtune, but this installation has none: install anew."]
        )
    return known


def _title(path: Path) -> str:
    """Take what a recipe is for out of the first sentence of its head."""
    head = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("# "):
            break
        head.append(line.removeprefix("# "))
    return re.split(r"[:,(]|\. ", " ".join(head), maxsplit=1)[0].strip()
