"""`sdtune compare`: several recipes or settings on one budget and one evaluation, in one table."""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdtune._checks import ArgumentsError
from sdtune.commands.comparison_file import is_comparison, read_comparison
from sdtune.commands.errors import CallError, nearest
from sdtune.commands.problems import list_problems
from sdtune.commands.quiet import quiet_misleading_messages
from sdtune.commands.recipe import options, read_recipe
from sdtune.comparison.execution import Engine, Outcome, carry_out, in_turn, is_finished
from sdtune.comparison.planning import PlannedRun, override_words, plan_run, protocol_problems
from sdtune.comparison.publication import build_tables, write_markdown, write_page
from sdtune.comparison.ray_workers import RayWorkers
from sdtune.comparison.results import ComparedRun, check_comparable, read_result
from sdtune.comparison.settings import Comparison, Variant
from sdtune.comparison.tables import markdown
from sdtune.run_folder.layout import REPORT

__all__ = ["main", "plan_runs"]

_HELP = """\
usage: sdtune compare RECIPE.yaml RECIPE.yaml ... [--key value ...]
       sdtune compare COMPARISON.yaml [--key value ...]

Train by several recipes on one budget, score them in the same way, and write one table. Each run
is a process of `sdtune fit`. A finished run is not repeated, one that was stopped goes on.

  sdtune compare recipes/textual_inversion.yaml recipes/pivotal_tuning.yaml --budget-steps 400
  sdtune compare recipes/paper/style.yaml --publish results/

A comparison's file gives several settings of a recipe, one evaluation for all, tables and figures.

--budget-steps N     optimizer steps of each run
--budget-minutes M   minutes that each run may train; a recipe's own max_steps may end it earlier
--output FOLDER      where runs and results go (default: runs/compare, or runs/<file's name>)
--workers ray:N      N runs at a time over the machines of a Ray cluster (default: in turn)
--publish FOLDER     also write README.md, figures and comparison.json there
--model.KEY, --data.KEY, --trainer.KEY, --seed   as for `sdtune fit`, for all runs
"""

_OPTIONS = ("budget-steps", "budget-minutes", "output", "workers", "publish")
_PASSED_ON = ("model", "data", "trainer", "seed")


@dataclass
class _Call:
    """What the command line asks for."""

    paths: list[str]
    instead: dict[str, Any] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    workers: str = "1"
    publish: Path | None = None


def main(arguments: Sequence[str]) -> int:
    """Compare recipes.

    Args:
        arguments: The command line after `sdtune compare`.

    Returns:
        The exit code: 0, or 1 if a run failed.

    Raises:
        CallError: If the call, a recipe or the data is wrong; it lists every problem.
        ValueError: If the finished runs were not scored in the same way.
    """
    if {"-h", "--help"} & set(arguments):
        print(_HELP, end="")
        return 0
    quiet_misleading_messages()
    call = _read_call(arguments)
    problems: list[str] = []
    engine = _engine(call.workers, problems)
    comparison = _comparison(call, problems)
    plans, wrong = plan_runs(comparison, call.words) if comparison else ([], [])
    if comparison is None or problems or wrong:
        raise CallError([*problems, *wrong])
    results = list(_carry_out(comparison, plans, engine))
    check_comparable(results)
    _write(comparison, results, shlex.join(["sdtune", "compare", *arguments]), call.publish)
    return 1 if any(each.outcome.status == "failed" for each in results) else 0


def plan_runs(
    comparison: Comparison, words: Sequence[str] = (), build: bool = True
) -> tuple[list[PlannedRun], list[str]]:
    """Plan all runs of a comparison, and check them.

    Args:
        comparison: What is compared.
        words: Overrides of the call, for all runs.
        build: Whether to build the classes of each recipe, see `list_problems`.

    Returns:
        The runs, and one sentence for each problem.
    """
    plans, found = [], {}
    for name, settings in comparison.runs.items():
        own = [*override_words(comparison, name), *words]
        try:
            recipe = read_recipe(["--config", settings.recipe])
            merged = read_recipe(["--config", settings.recipe, *own])
        except CallError as error:
            found[name] = error.problems
            continue
        plan = plan_run(comparison, name, recipe, merged, words)
        trainer = {**(merged.get("trainer") or {}), **plan.changes["trainer"]}
        found[name] = list_problems({**merged, "trainer": trainer}, build)
        plans.append(plan)
    return plans, [*_grouped(found), *(protocol_problems(plans) if plans else [])]


def _read_call(arguments: Sequence[str]) -> _Call:
    count = next((n for n, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    call, problems = _Call(list(arguments[:count])), []
    for name, value in options(arguments[count:]):
        if name.split(".")[0] in _PASSED_ON and value is not None:
            call.words.append(f"--{name}={value}")
        elif name not in _OPTIONS:
            known = nearest(f"--{name}", [f"--{each}" for each in _OPTIONS])
            problems.append(f"Expected a known option, but got `--{name}`{known}")
        elif value is None:
            problems.append(f"Expected `--{name}` to be given a value, but it has none.")
        elif name == "workers":
            call.workers = value
        elif name == "publish":
            call.publish = Path(value)
        elif name == "output":
            call.instead[name] = value
        else:
            call.instead[name.replace("-", "_")] = _number(name, value, problems)
    if not call.paths:
        problems.append("Expected recipes: sdtune compare RECIPE.yaml RECIPE.yaml ...")
    if problems:
        raise CallError(problems)
    return call


def _number(name: str, value: str, problems: list[str]) -> float | None:
    try:
        return int(value) if name == "budget-steps" else float(value)
    except ValueError:
        kind = "an integer" if name == "budget-steps" else "a number"
        problems.append(f"Expected `--{name}` to be {kind}, but got `{value}`.")
        return None


def _engine(workers: str, problems: list[str]) -> Engine:
    kind, colon, count = workers.partition(":")
    if workers == "1":
        return in_turn
    if kind != "ray" or not colon or not count.isdecimal():
        problems.append(f"Expected `--workers` to be such as `ray:2`, but got `{workers}`.")
        return in_turn
    try:
        return RayWorkers(int(count))
    except (ModuleNotFoundError, ValueError) as error:
        problems.append(str(error))
        return in_turn


def _comparison(call: _Call, problems: list[str]) -> Comparison | None:
    """Read the comparison's file, or make one of the recipes."""
    budget = [name for name in ("budget_steps", "budget_minutes") if name in call.instead]
    # a budget of the call is instead of either of the file's
    other = {"budget_steps": None, "budget_minutes": None} if len(budget) == 1 else {}
    instead = {**other, **call.instead}
    try:
        described = [path for path in call.paths if is_comparison(path)]
        if described and len(call.paths) > 1:
            problems.append(f"Expected recipes alone or one comparison, but got `{described[0]}`.")
            return None
        if described:
            return read_comparison(described[0], **instead)
        names = [Path(path).stem for path in call.paths]
        if len(set(names)) < len(names):
            problems.append(
                f"Expected recipes of different names, but got {', '.join(call.paths)}; several "
                "settings of one recipe are the `runs` of a comparison's file."
            )
            return None
        runs = {name: Variant(path) for name, path in zip(names, call.paths, strict=True)}
        return Comparison(title=", ".join(names), runs=runs, **instead)
    except (ArgumentsError, CallError) as error:
        problems += error.problems
        return None


def _grouped(found: dict[str, list[str]]) -> Iterator[str]:
    """Say once what is wrong with every run, and of the others, which runs they are wrong with."""
    names: dict[str, list[str]] = {}
    for name, problems in found.items():
        for problem in problems:
            names.setdefault(problem, []).append(name)
    for problem, of in names.items():
        yield problem if len(of) == len(found) else f"{', '.join(of)}: {problem}"


def _carry_out(
    comparison: Comparison, plans: Sequence[PlannedRun], engine: Engine
) -> Iterable[ComparedRun]:
    """Carry out the runs, and read them in the comparison's order."""
    for number, plan in enumerate(plans, start=1):
        state = "finished already" if is_finished(plan) else shlex.join(plan.command())
        print(f"{number}/{len(plans)} {plan.name}: {state}", flush=True)
    outcomes: dict[str, Outcome] = {}
    for each in engine(plans, carry_out):
        outcomes[each.name] = each
        reason = f": {each.reason}" if each.reason else ""
        print(f"{each.name} {each.status}, {each.seconds / 60:.1f} min{reason}", flush=True)
    for plan in plans:
        yield read_result(plan, comparison.label(plan.name), outcomes[plan.name])


def _write(
    comparison: Comparison, results: Sequence[ComparedRun], command: str, publish: Path | None
) -> None:
    tables = build_tables(comparison, results)
    output = Path(comparison.output)
    for table in tables:
        print(f"\n{table.title}\n\n{markdown(table)}")
    written = [write_markdown(comparison, results, tables, command, output)]
    if publish:
        written.append(write_markdown(comparison, results, tables, command, publish))
    written.append(write_page(comparison, results, tables, output / REPORT))
    for path in written:
        print(f"results:     {path}")
    print(f"curves:      tensorboard --logdir {comparison.output}")
