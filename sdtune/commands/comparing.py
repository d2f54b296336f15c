"""The runs of a comparison: planned, checked, carried out and put into tables."""

import json
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from sdtune._checks import ArgumentsError
from sdtune.commands.building import problems_of
from sdtune.commands.compare_call import CompareCall
from sdtune.commands.comparison_file import is_comparison, read_comparison
from sdtune.commands.early_signals import Ended
from sdtune.commands.errors import CallError
from sdtune.commands.quiet import quiet_devices, quiet_misleading_messages
from sdtune.commands.recipe import read_recipe, recipe_file
from sdtune.commands.recipe_cli import RecipeCLI, built_recipe
from sdtune.commands.shown_results import shown_problems
from sdtune.commands.unreadable_runs import unreadable_problems
from sdtune.comparison.agreement import input_problems, protocol_problems, rung_problems
from sdtune.comparison.comparison_lock import comparison_problem, only_comparison
from sdtune.comparison.departures import departure
from sdtune.comparison.execution import (
    Engine,
    Outcome,
    carry_out,
    in_turn,
    is_finished,
    lock_problem,
)
from sdtune.comparison.figures import draw_figures
from sdtune.comparison.given_keys import twice_given
from sdtune.comparison.output_names import distinct_names
from sdtune.comparison.planning import PlannedRun, evaluation_problem, plan_run
from sdtune.comparison.publication import (
    build_tables,
    output_problems,
    publish_problems,
    write_markdown,
    write_page,
)
from sdtune.comparison.ray_tune import RayTune
from sdtune.comparison.ray_workers import RayWorkers
from sdtune.comparison.results import ComparedRun, check_comparable, read_result
from sdtune.comparison.run_inputs import RunInputs, read_inputs
from sdtune.comparison.settings import Comparison, Variant
from sdtune.comparison.sweep import read_sweep, sweep_runs
from sdtune.comparison.tables import markdown
from sdtune.comparison.whole_recipe import whole_recipe, with_whole_paths
from sdtune.evaluation.settings import fields_of
from sdtune.files.printable_text import show
from sdtune.run_folder.layout import REPORT

__all__ = ["changed_inputs", "plan_runs", "run_comparison"]


def run_comparison(call: CompareCall, words: Sequence[str], command: str) -> int:
    """Compare recipes.

    Args:
        call: What is compared, and on which budget.
        words: Overrides for all runs.
        command: The whole call, for a shell.

    Returns:
        The exit code: 0, or 1 if a run failed or a figure could not be drawn.

    Raises:
        CallError: If the call, a recipe or the data is wrong; it lists every problem.
        ValueError: If the finished runs were not scored in the same way.
    """
    quiet_misleading_messages()
    problems: list[str] = []
    comparison = _comparison(call, problems)
    if comparison is not None:
        problems += twice_given(comparison, words, is_sweep=call.sweep is not None)
    plans, wrong = plan_runs(comparison, words) if comparison else ([], [])
    engine, of_engine = _engine(call)  # only now: a recipe's classes may bring metrics along
    problems = [*of_engine, *problems]
    if comparison is not None:
        problems += _folder_problems(Path(comparison.output), plans, call.publish)
    if call.asha is not None and plans:
        wrong += rung_problems(plans)
    if comparison is None or problems or wrong:
        raise CallError([*problems, *wrong])
    with only_comparison(Path(comparison.output)):
        try:
            results = list(_carry_out(comparison, plans, engine))
        except (KeyboardInterrupt, Ended):
            show("What is finished is kept, and the same call goes on.", file=sys.stderr)
            raise
        not_drawn = _write(comparison, results, command, call.publish)
    for problem in not_drawn:
        show(f"sdtune: {problem}", file=sys.stderr)
    # only now: the table says it too, and nothing that was trained is lost
    check_comparable(results)
    return 1 if not_drawn or any(each.outcome.status == "failed" for each in results) else 0


def _folder_problems(
    output: Path, plans: Sequence[PlannedRun], publish: Path | None
) -> Iterator[str]:
    """Say why a comparison shall not be carried out where it was planned."""
    yield from output_problems(output)
    # where both are one, it is no new folder when the same call goes on
    if publish is not None and publish.resolve() != output.resolve():
        yield from publish_problems(publish)
    yield from filter(None, map(departure, plans))
    if other := comparison_problem(output):  # whose runs these are
        yield other
    else:
        yield from filter(None, map(lock_problem, plans))


def plan_runs(
    comparison: Comparison, words: Sequence[str] = (), build: bool = True
) -> tuple[list[PlannedRun], list[str]]:
    """Plan all runs of a comparison, and check them.

    Args:
        comparison: What is compared.
        words: Overrides of the call, for all runs.
        build: Whether to build the classes of each recipe, see `built_recipe`.

    Returns:
        The runs, and one sentence for each problem.
    """
    planned = {name: _planned(comparison, name, words, build) for name in comparison.runs}
    seed = _one_split(planned.values())
    if seed is not None:
        words = [*words, f"--data.seed={seed}"]
        planned = {name: _planned(comparison, name, words, build) for name in comparison.runs}
    plans = [each.plan for each in planned.values() if each.plan is not None]
    found = {name: each.problems for name, each in planned.items()}
    together = [*protocol_problems(plans), *input_problems(plans)] if plans else []
    return plans, [*_grouped(found, comparison), *together, *shown_problems(comparison, plans)]


@dataclass(frozen=True)
class _Planned:
    """What came of planning a run.

    Attributes:
        plan: The run; None if its recipe cannot be read.
        problems: One sentence each.
        seeds: Its seed and that of its recipe, if its data follows them.
    """

    plan: PlannedRun | None
    problems: list[str]
    seeds: tuple[int, int] | None = None


def _planned(comparison: Comparison, name: str, words: Sequence[str], build: bool) -> _Planned:
    path = comparison.runs[name].recipe
    try:
        text, read = read_recipe(path)
        recipe = whole_recipe(read, recipe_file(path).parent)
        plan = plan_run(comparison, name, recipe, words)
    except (CallError, ValueError) as error:
        return _Planned(None, problems_of(error))
    lacking = evaluation_problem(comparison, name, recipe, words)
    # else what is added is incomplete, and told of as if the recipe had it
    added = [] if lacking else [f"--config={json.dumps(plan.changes)}"]
    with quiet_devices():
        cli, problems = built_recipe([f"--config={path}", *added, *plan.words], build)
    problems = [*([lacking] if lacking else []), *problems]
    seeds = None
    if cli is not None:
        recipe = with_whole_paths(recipe, cli.config)
        if "data.init_args.seed" in cli.left_out:
            seeds = int(cli.config.seed), int(recipe.get("seed", cli.parser.get_default("seed")))
        if build:
            plan = _completed(plan, cli)
            problems += [] if lacking else unreadable_problems(cli, comparison.output)
    # a text that stands for itself is kept to the letter
    whole = text if recipe == read else yaml.safe_dump(recipe, sort_keys=False)
    return _Planned(replace(plan, text=whole), problems, seeds)


def _one_split(planned: Iterable[_Planned]) -> int | None:
    """Find the data's seed with which runs that differ in their seeds train on the same pictures.

    Args:
        planned: The runs.

    Returns:
        That of the first recipe; None if they do without, or one has a seed for its data.
    """
    known = [(each.seeds, each.plan.inputs) for each in planned if each.plan and each.plan.inputs]
    seeds = [seeds for seeds, _ in known if seeds is not None]
    if len(seeds) < len(known) or len({of_run for of_run, _ in seeds}) < 2:
        return None
    return seeds[0][1] if len({inputs.pictures for _, inputs in known}) > 1 else None


def _completed(plan: PlannedRun, cli: RecipeCLI) -> PlannedRun:
    """Tell a plan what its data and its model's arguments are."""
    return plan.with_fields(fields_of(cli.datamodule)).with_inputs(_inputs(cli))


def _inputs(cli: RecipeCLI) -> RunInputs:
    arguments = cli.config.model.get("init_args") or {}
    return read_inputs(cli.datamodule, vars(arguments) if arguments else {})


def changed_inputs(plan: PlannedRun) -> str | None:
    """Say that a run would read something else now than when it was planned.

    Args:
        plan: The run, its recipe files written.

    Returns:
        A sentence; None if all that it reads is as it was.
    """
    with quiet_devices():
        cli, problems = built_recipe(plan.options)
    if cli is None:
        return " ".join(problems)
    if plan.inputs is None or _inputs(cli).digest == plan.inputs.digest:
        return None
    return (
        f"Expected what `{plan.name}` reads to be as it was when the comparison began, but "
        "pictures, captions or weights have changed since then: give the same call again, with "
        "which all runs begin anew on what is there now."
    )


def _engine(call: CompareCall) -> tuple[Engine, list[str]]:
    """Choose what carries out the runs, and say what is wrong with the choice."""
    kind, colon, count = call.workers.partition(":")
    if call.workers == "1":
        lacking = "Expected `--asha` with `--workers ray:N`, but there is none."
        return in_turn, [lacking] if call.asha is not None else []
    if kind != "ray" or not colon or not count.isdecimal():
        return in_turn, [f"Expected `--workers` to be such as `ray:2`, but got `{call.workers}`."]
    try:
        return RayWorkers(int(count)) if call.asha is None else RayTune(int(count), call.asha), []
    except (ModuleNotFoundError, ValueError) as error:
        return in_turn, [str(error)]


def _comparison(call: CompareCall, problems: list[str]) -> Comparison | None:
    """Read the comparison's file, or make one of the recipes."""
    given = {"budget_steps": call.budget_steps, "budget_minutes": call.budget_minutes}
    instead: dict[str, Any] = {"output": call.output} if call.output else {}
    if any(each is not None for each in given.values()):
        instead |= given  # a budget of the call is instead of either of the file's
    try:
        described = [path for path in call.recipes if is_comparison(path)]
        if described and len(call.recipes) > 1:
            problems.append(f"Expected recipes alone or one comparison, but got `{described[0]}`.")
            return None
        if described and call.sweep is not None:
            problems.append(
                f"Expected `--sweep` with recipes, but `{described[0]}` is a comparison, which has "
                "its own `runs`."
            )
            return None
        if described:
            return read_comparison(described[0], **instead)
        names = [Path(path).stem for path in call.recipes]
        if len(set(names)) < len(names):
            problems.append(
                f"Expected recipes of different names, but got {', '.join(call.recipes)}; several "
                "settings of one recipe are the `runs` of a comparison's file."
            )
            return None
        return Comparison(title=", ".join(names), runs=_runs(call, names), **instead)
    except (ArgumentsError, CallError) as error:
        problems += error.problems
        return None


def _runs(call: CompareCall, names: Sequence[str]) -> dict[str, Variant]:
    """Name the runs of recipes; of a recipe whose name cannot be a folder's it is the label."""
    if call.sweep is not None:
        return sweep_runs(call.recipes, read_sweep(call.sweep))
    return {
        folder: Variant(path, None if folder == name else name)
        for folder, name, path in zip(distinct_names(names), names, call.recipes, strict=True)
    }


def _grouped(found: dict[str, list[str]], comparison: Comparison) -> Iterator[str]:
    """Say once what is wrong with every run, and of the others, which runs they are wrong with."""
    names: dict[str, list[str]] = {}
    for name, problems in found.items():
        for problem in problems:
            names.setdefault(problem, []).append(name)
    for problem, of in names.items():
        yield problem if len(of) == len(found) else f"{_which(of, comparison)}: {problem}"


def _which(names: Sequence[str], comparison: Comparison) -> str:
    """Name some runs: by the settings that they have and no other, if there are such."""
    settings = {name: run.overrides.items() for name, run in comparison.runs.items()}
    shared = [item for item in settings[names[0]] if all(item in settings[n] for n in names)]
    having = [name for name, items in settings.items() if all(item in items for item in shared)]
    if len(names) > 1 and having == list(names):
        return ", ".join(f"{key}={value}" for key, value in shared)
    return ", ".join(names)


def _carry_out(
    comparison: Comparison, plans: Sequence[PlannedRun], engine: Engine
) -> Iterable[ComparedRun]:
    """Carry out the runs, and read them in the comparison's order."""
    for number, plan in enumerate(plans, start=1):
        state = "finished already" if is_finished(plan) else shlex.join(plan.command())
        show(f"{number}/{len(plans)} {plan.name}: {state}")
    outcomes: dict[str, Outcome] = {}
    for each in engine(plans, partial(carry_out, changed=changed_inputs)):
        outcomes[each.name] = each
        reason = f": {each.reason}" if each.reason else ""
        show(f"{each.name} {each.status}, {each.minutes} min{reason}")
    for plan in plans:
        yield read_result(plan, comparison.label(plan.name), outcomes[plan.name])


def _write(
    comparison: Comparison, results: Sequence[ComparedRun], command: str, publish: Path | None
) -> list[str]:
    """Write and show the results; return why figures could not be drawn, a sentence each."""
    tables = build_tables(comparison, results)
    output = Path(comparison.output)
    figures = draw_figures(comparison.figures, results)
    written = [
        write_markdown(comparison, results, tables, figures, command, folder)
        for folder in (output, *([publish] if publish else []))
    ]
    written.append(write_page(comparison, results, tables, figures, output / REPORT))
    # only now: whoever reads along may be gone, and the results are there all the same
    for table in tables:
        show("", table.title, "", *markdown(table).split("\n"))
    for path in written:
        show(f"results:     {path}")
    show(f"curves:      tensorboard --logdir {comparison.output}")
    return [each.problem for each in figures if each.problem]
