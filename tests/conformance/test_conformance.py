"""Every row of the conformance table is true."""

from __future__ import annotations

import importlib.util
import inspect
from dataclasses import replace
from pathlib import Path

import lightning.pytorch.callbacks
import lightning.pytorch.loggers
import lightning.pytorch.plugins
import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import StrategyRegistry

from sdtune.cli import main
from tests.conformance.bench import Bench
from tests.conformance.checks import is_refused, same
from tests.conformance.row import Arguments, Row
from tests.conformance.table import ROWS, page
from tests.picture_folders import make_picture_folder
from tests.techniques.every_technique import TECHNIQUES, Build

ROOT = Path(__file__).parents[2]
TRIED = [row for row in ROWS if row.verdict != "not tried here"]
OVER_TECHNIQUES = [
    pytest.param(row, TECHNIQUES[name], id=f"{name}-{row.name}")
    for row in TRIED
    for name in row.techniques
]
_CHANGES_OTHERS = ("barebones", "fast_dev_run", "limit_train_batches", "overfit_batches")
RECIPE = """\
trainer: {{accelerator: cpu, max_epochs: 1, limit_val_batches: 0, logger: false}}
model:
  class_path: sdtune.LoRAStyleModule
  init_args: {{base: {base}, rank: 2, target_modules: [to_v], learning_rate: 1e-2}}
data:
  class_path: sdtune.StyleDataModule
  init_args: {{folder: {pictures}, resolution: 64, batch_size: 1, validation_count: 2}}
"""


def _cases(rows: list[Row]) -> list[object]:
    """Leave to the whole suite all values of an option but its first."""
    quick = {row.option: row for row in reversed(rows) if not row.slow}
    marks = {row.name: [] if row is quick.get(row.option) else [pytest.mark.slow] for row in rows}
    return [pytest.param(row, id=row.name, marks=marks[row.name]) for row in rows]


def _changes_nothing(row: Row) -> bool:
    return row.check is same and not row.needs


def _together(rows: list[Row]) -> list[object]:
    """Put rows of different options into one run: what changed anything would be seen in it."""
    runs: list[list[Row]] = []
    given: list[set[str]] = []
    for row in rows:
        keys = row.made_arguments().keys() - {"callbacks"} or {row.option}
        place = next((place for place, known in enumerate(given) if not keys & known), len(runs))
        if place == len(runs):
            runs.append([])
            given.append(set())
        runs[place].append(row)
        given[place] |= keys
    return [pytest.param(run, id=", ".join(row.name for row in run)) for run in runs]


def test_every_option_callback_and_logger_has_a_row() -> None:
    options = {row.option for row in ROWS}
    assert set(inspect.signature(Trainer.__init__).parameters) - {"self"} <= options
    assert set(lightning.pytorch.callbacks.__all__) <= options
    assert set(lightning.pytorch.loggers.__all__) <= options


def test_the_page_says_what_the_rows_say() -> None:
    assert (ROOT / "docs/conformance.md").read_text(encoding="utf-8") == page(), (
        "python -m tests.conformance.table > docs/conformance.md"
    )


@pytest.mark.parametrize("row", _cases([row for row in TRIED if not _changes_nothing(row)]))
def test_a_row_holds(row: Row, bench: Bench) -> None:
    _hold(row, bench)


@pytest.mark.parametrize("rows", _together([row for row in TRIED if _changes_nothing(row)]))
def test_rows_that_change_nothing_change_nothing_together(rows: list[Row], bench: Bench) -> None:
    arguments: Arguments = {"callbacks": []}
    for row in rows:
        made = row.made_arguments()
        given = made.pop("callbacks", [])
        arguments["callbacks"] += given if isinstance(given, list) else [given]
        arguments |= made
    same(bench, arguments)


@pytest.mark.slow
@pytest.mark.parametrize(("row", "build"), OVER_TECHNIQUES)
def test_a_row_holds_for_other_techniques(row: Row, build: Build, bench: Bench) -> None:
    pictures = make_picture_folder(bench.folder.parent / "four_discs")
    every = replace(bench, build=build, pictures=pictures)
    every.plain()
    _hold(row, every)


def _hold(row: Row, bench: Bench) -> None:
    if row.needs:
        pytest.importorskip(row.needs)
    if row.check is None:
        is_refused(bench, row.made_arguments(), row.what)
    else:
        row.check(bench, row.made_arguments())


def _recipe(bench: Bench) -> str:
    text = RECIPE.format(base=bench.base, pictures=bench.pictures)
    Path("recipe.yaml").write_text(text, encoding="utf-8")
    return "recipe.yaml"


@pytest.mark.slow
@pytest.mark.parametrize(
    "row", _cases([row for row in TRIED if row.check is None and row.call_words()])
)
def test_what_is_refused_is_refused_by_the_commands(
    row: Row, bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, words = _recipe(bench), row.call_words()
    if any("tests." in each for each in words):  # a class of these tests is other people's code
        words = [*words, "--trust", "tests"]
    assert main(["check", recipe, *words]) == 2
    assert main(["fit", "--config", recipe, *words]) == 2
    assert list(Path().iterdir()) == [Path(recipe)]
    if row.option in lightning.pytorch.callbacks.__all__:
        assert row.what in " ".join(capsys.readouterr().err.split())


def _calls() -> list[object]:
    """Put rows of different options into one call, which takes as long for eight as for one."""
    calls: list[list[Row]] = []
    for row in TRIED:
        if row.check is None or not row.call_words():
            continue
        fitting = (call for call in calls if _fits(row, call))
        call = next(fitting, None)
        if call is None:
            calls.append(call := [])
        call.append(row)
    return [pytest.param(call, id=", ".join(row.name for row in call)) for call in calls]


def _fits(row: Row, call: list[Row]) -> bool:
    rows = [row, *call]
    if len(rows) > 8 or any(each.needs or each.option in _CHANGES_OTHERS for each in rows):
        return False
    return not any(_keys(row) & _keys(each) for each in call)


def _keys(row: Row) -> set[str]:
    return {word.split("=")[0].split(".")[1] for word in row.call_words()} - {
        "callbacks+",
        "callbacks",
    }


@pytest.mark.slow
@pytest.mark.parametrize("call", _calls())
def test_what_works_is_accepted_by_the_commands(call: list[Row], bench: Bench) -> None:
    for row in call:
        if row.needs:
            pytest.importorskip(row.needs)
    words = [word for row in call for word in row.call_words()]
    assert main(["check", _recipe(bench), *words]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("row", _cases([row for row in ROWS if row.needs.startswith("no ")]))
def test_a_logger_without_its_package_is_refused_by_the_commands(
    row: Row, bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    package = row.needs.removeprefix("no ")
    if importlib.util.find_spec(package):
        pytest.skip(f"{package} is installed")
    assert main(["check", _recipe(bench), *row.call_words()]) == 2
    assert package.split("_")[0] in capsys.readouterr().err.lower()


def test_every_strategy_and_plugin_is_named() -> None:
    named = " ".join(row.value for row in ROWS if row.option in ("strategy", "plugins"))
    starts = ("ddp_", "deepspeed_")
    strategies = set(StrategyRegistry.available_strategies())
    words = {part.strip("',") for part in named.split()}
    assert {each for each in strategies if not each.startswith(starts)} <= words
    bases = {"CheckpointIO", "LayerSync", "Precision"}
    assert all(each in named for each in set(lightning.pytorch.plugins.__all__) - bases)
