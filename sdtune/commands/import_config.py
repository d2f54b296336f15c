"""`sdtune import-config`: a recipe from the configuration of another trainer."""

import shlex
import sys
from pathlib import Path

from sdtune.commands.errors import CallError
from sdtune.files.new_file import new_file_problem
from sdtune.files.printable_text import show
from sdtune.importing.kohya_recipe import import_kohya
from sdtune.importing.kohya_settings import read_kohya

__all__ = ["import_config"]


def import_config(config: Path, *, dataset: Path | None = None, to: Path | None = None) -> None:
    """Make a recipe of a configuration of kohya's sd-scripts, and say what became of every key.

    Every key is in one list: taken over, with the key here; has no equal, and what that means for
    the result; means nothing here; or not known. Where nothing is given, the recipe has what
    sd-scripts would take. The lists stand at the recipe's head. Look it through, and then:
    `sdtune check recipe.yaml`.

      sdtune import-config train.toml
      sdtune import-config train.toml --to recipe.yaml
      sdtune import-config train.toml --dataset pictures.toml --to recipe.yaml

    Args:
        config: The training configuration, as `--config_file` of sd-scripts takes it.
        dataset: The data set's, as `--dataset_config` takes it; by default the file that the
            configuration names, if it is in its folder or below.
        to: Where the recipe goes, a file that is not there yet; by default it is printed.

    Raises:
        CallError: If a file cannot be read or written, a value is out of its range, or one that is
            needed is missing; it lists every problem.
    """
    recipe = import_kohya(read_kohya(config, dataset))
    text = recipe.text()
    if to is None:
        encoding = sys.stdout.encoding or "utf-8"
        try:
            text.encode(encoding)
        except UnicodeEncodeError as error:  # escaped, it would be another recipe
            raise CallError(
                [f"Expected `--to`, for the output is {encoding}, which lacks a letter of it."]
            ) from error
        show(*text.rstrip("\n").split("\n"))
        return
    if problem := new_file_problem(to):
        raise CallError([problem])
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with to.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise CallError([f"Expected to write `{to}`, but {error.strerror}."]) from error
    show(*recipe.lists(), f"recipe: {to}", f"next:   {shlex.join(['sdtune', 'check', str(to)])}")
