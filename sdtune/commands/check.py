"""`sdtune check`: list all that is wrong with a recipe and its data, without training."""

import json as json_format
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdtune.commands.call import read_call
from sdtune.commands.errors import CallError
from sdtune.commands.recipe import options
from sdtune.files.printable_text import show

if TYPE_CHECKING:
    from sdtune.commands.recipe_cli import RecipeCLI

__all__ = ["check", "main"]

_SWITCH, _VALUED = "--json", "--contact_sheet"


def main(arguments: Sequence[str]) -> int:
    """Run `sdtune check`.

    Args:
        arguments: The command line after it: a recipe, then overrides; or all that `sdtune fit`
            takes.

    Returns:
        The exit code: 0, or 2 if there are problems and `--json` has printed them.

    Raises:
        CallError: If there are problems; it lists every one.
    """
    if {"-h", "--help"} & set(arguments):
        read_call(check, "sdtune check", ["--help"])
    own, words = _split(arguments)
    given = read_call(_outputs, "sdtune check", own)
    if words and not words[0].startswith("-"):
        words.insert(0, "--config")
    recipes = [value for name, value in options(words) if name == "config" and value]
    if not recipes:
        raise CallError(["Expected a recipe: sdtune check RECIPE.yaml [--key value ...]."])
    return check(recipes[-1], *words, **given)


def check(recipe: str, *words: str, json: bool = False, contact_sheet: Path | None = None) -> int:
    """List all that is wrong with a recipe and its data, and what to know of it, without training.

    What this accepts, `sdtune fit` starts, with the same options: `sdtune fit --help` lists them.

      sdtune check recipes/style_lora.yaml
      sdtune check recipes/style_lora.yaml --data.folder photos/ --model.rank 8
      sdtune check recipes/style_lora.yaml --contact_sheet pictures.html

    Args:
        recipe: A recipe.
        *words: The whole call, as for `sdtune fit`.
        json: Print one JSON object, with problems, notes and figures, and nothing else.
        contact_sheet: Where to write a page of the pictures, each with its crop, its bucket, its
            caption and what there is to know of it.

    Returns:
        The exit code: 0, or 2 if there are problems and `json` has printed them.

    Raises:
        CallError: With every problem, unless `json` prints them.
    """
    # only now: they bring torch along
    from sdtune.commands.quiet import quiet_devices, quiet_misleading_messages
    from sdtune.commands.recipe_cli import RecipeCLI

    quiet_misleading_messages()
    try:
        with redirect_stdout(sys.stderr if json else sys.stdout):
            with quiet_devices():
                cli = RecipeCLI(words)
            notes, survey = _found(cli)
            if contact_sheet is not None:
                notes.append(_write_sheet(survey, contact_sheet))
    except (OSError, ValueError) as error:
        problems = getattr(error, "problems", [str(error)])
        if not json:
            raise
        show(json_format.dumps({"problems": list(problems), "notes": [], "survey": None}))
        return 2
    if json:
        figures = None if survey is None else survey.to_json()
        show(json_format.dumps({"problems": [], "notes": notes, "survey": figures}))
    else:
        show(*notes, f"{recipe}: no problems found.")
    return 0


def _outputs(*, json: bool = False, contact_sheet: Path | None = None) -> None:
    """Take what `check` has of its own."""


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part what is `check`'s own from what `fit` takes too."""
    own: list[str] = []
    others: list[str] = []
    words = list(arguments)
    while words:
        word = words.pop(0)
        name, equals, _ = word.replace("-", "_").partition("=")
        if name == _SWITCH.replace("-", "_"):
            own.append(word)
        elif name == _VALUED.replace("-", "_"):
            own.append(word)
            if not equals and words and not words[0].startswith("-"):
                own.append(words.pop(0))
        else:
            others.append(word)
    return own, others


def _found(cli: "RecipeCLI") -> tuple[list[str], Any]:
    """Say what there is to know of a recipe that is right, and survey its pictures."""
    from sdtune.commands.building import SaysWhatIsCut, SaysWhatItFound, SurveysPictures

    data, model = cli.datamodule, cli.model
    notes = data.found() if isinstance(data, SaysWhatItFound) else []
    survey = None
    if isinstance(data, SurveysPictures):
        survey = data.survey(getattr(model, "resolution", None))
        notes += [] if survey is None else data.survey_notes(survey)
    if isinstance(model, SaysWhatIsCut):
        notes += model.notes_with(data)
    return [*notes, *cli.notes], survey


def _write_sheet(survey: Any, path: Path) -> str:
    from sdtune.report.contact_sheet import write_contact_sheet
    from sdtune.report.page_place import page_problem

    if problem := page_problem(path, "--contact_sheet"):
        raise CallError([problem])
    if survey is None or not survey.pictures:
        raise CallError(
            ["Expected `data` to have pictures for `--contact_sheet`, but it has none."]
        )
    return f"contact sheet: {write_contact_sheet(survey, path)}"
