"""What is compared: the runs, what is the same for all of them, and what shall be shown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, FiniteFloat

from sdtune._checks import ArgumentsError
from sdtune.comparison.output_names import name_problem
from sdtune.run_folder.layout import BASE_LABEL

__all__ = [
    "SUBJECT",
    "TRAIN_LOSS",
    "Comparison",
    "FigureSettings",
    "TableSettings",
    "Variant",
]

TRAIN_LOSS = "train_loss"
"""The metric that no evaluation holds: the mean of the training loss over logged steps."""

SUBJECT = "{subject}"
"""What stands in prompts for a run's words for its subject."""

_FLOAT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


def _number(value: Any) -> Any:
    # YAML 1.1, which PyYAML reads, takes 1e-3 for a text
    return float(value) if isinstance(value, str) and _FLOAT.fullmatch(value) else value


Values = dict[str, Annotated[Any, BeforeValidator(_number)]]
"""Key -> value, as a YAML file gives them."""


@dataclass(frozen=True)
class Variant:
    """One run: a recipe and what is changed in it.

    Attributes:
        recipe: Path of the recipe.
        label: How tables name the run; None is its name.
        subject: The words that stand for the subject, put for `{subject}` in prompts; None takes
            what the recipe's data calls it.
        overrides: Key -> value, as on the command line: `model.optimizer: sgd_nesterov`.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    recipe: str
    label: str | None = None
    subject: str | None = None
    overrides: Values = field(default_factory=dict)


@dataclass(frozen=True)
class TableSettings:
    """One table.

    Attributes:
        title: Its title.
        metrics: Its columns, keys of evaluation.json or `train_loss`; None is all.
        runs: Its rows, names of runs or `base`; None is all.
        paper: Run -> the figure that a paper gives, of a table with one metric.
        note: What it means; where there is a paper, what differs.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    title: str
    metrics: list[str] | None = None
    runs: list[str] | None = None
    paper: dict[str, FiniteFloat] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class FigureSettings:
    """One picture.

    Attributes:
        title: Its title.
        kind: `loss_curves`, or `samples` of the evaluation.
        runs: Names of runs or, for samples, `base`; None is all.
        prompts: Which of the evaluation's prompts, counted from 0; None is all.
        note: What it shows; where there is a paper, what differs.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    title: str
    kind: Literal["loss_curves", "samples"]
    runs: list[str] | None = None
    prompts: list[int] | None = None
    note: str = ""


@dataclass(frozen=True)
class Comparison:
    """A comparison: its file's keys are these attributes.

    Attributes:
        title: Its title.
        runs: Name -> run; the name is a folder's.
        output: Folder that the runs and the results go to.
        note: Plain words that stand above the tables.
        overrides: Key -> value, for all runs.
        evaluation: Arguments of `sdtune.EvaluationCallback` for all runs, above their recipes'.
            Prompts may say `{subject}`.
        budget_steps: Optimizer steps of each run; None leaves them to the recipes.
        budget_minutes: Minutes that each run may train; None leaves them to the recipes.
        tables: Tables beside the one of every metric, which there always is.
        figures: Pictures.

    Raises:
        ArgumentsError: With all that is wrong.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    title: str
    runs: dict[str, Variant]
    output: str = "runs/compare"
    note: str = ""
    overrides: Values = field(default_factory=dict)
    evaluation: Values = field(default_factory=dict)
    budget_steps: int | None = None
    budget_minutes: float | None = None
    tables: list[TableSettings] = field(default_factory=list)
    figures: list[FigureSettings] = field(default_factory=list)

    def __post_init__(self) -> None:
        problems = [*self._run_problems(), *self._value_problems(), *self._budget_problems()]
        for table in self.tables:
            problems += self._table_problems(table)
        for figure in self.figures:
            problems += self._figure_problems(figure)
        if problems:
            raise ArgumentsError(problems)

    def label(self, name: str) -> str:
        """Name a run as tables do."""
        settings = self.runs.get(name)
        return (settings.label if settings else None) or name

    def _run_problems(self) -> Iterator[str]:
        if not self.runs:
            yield "Expected `runs` to name at least one run, but got none."
        for name in self.runs:
            if problem := name_problem(name):
                yield problem

    def _value_problems(self) -> Iterator[str]:
        """Refuse what a command line, and the JSON of the results, have no word for."""
        given = {"overrides": self.overrides, "evaluation": self.evaluation}
        given |= {f"runs.{name}.overrides": run.overrides for name, run in self.runs.items()}
        for where, values in given.items():
            for key, value in values.items():
                try:
                    json.dumps(value, allow_nan=False)
                except (TypeError, ValueError):
                    yield (
                        f"Expected `{key}` of `{where}` to be made of finite numbers, texts, lists "
                        f"and mappings, but got {value!r}; a date is put in quotes."
                    )

    def _budget_problems(self) -> Iterator[str]:
        if self.budget_steps is not None and self.budget_minutes is not None:
            yield "Expected `budget_steps` or `budget_minutes`, but got both."
        if self.budget_steps is not None and self.budget_steps < 1:
            yield f"Expected `budget_steps` to be a positive integer, but got {self.budget_steps}."
        minutes = self.budget_minutes
        if minutes is not None and not (minutes > 0 and isfinite(minutes)):
            yield f"Expected `budget_minutes` to be a positive number, but got {minutes}."
        elif minutes is not None and round(60 * minutes) < 1:  # it is given in whole seconds
            yield f"Expected `budget_minutes` to be a second, 0.017, at least, but got {minutes}."

    def _table_problems(self, table: TableSettings) -> Iterator[str]:
        known = {*self.runs, BASE_LABEL}
        yield from self._name_problems(table.title, table.runs, known)
        yield from self._name_problems(table.title, table.paper, known)
        yield from _empty(f"the table `{table.title}`", metrics=table.metrics, runs=table.runs)
        if table.paper and len(table.metrics or ()) != 1:
            yield (
                f"Expected the table `{table.title}` to have one metric for the figures of "
                f"`paper`, but got {table.metrics}."
            )
        for name in table.paper:
            if table.runs and name in known - {*table.runs}:
                yield (
                    f"Expected `paper` of the table `{table.title}` to name some of its `runs`, "
                    f"but got `{name}`: add it to them, or leave it out."
                )

    def _figure_problems(self, figure: FigureSettings) -> Iterator[str]:
        of = f"the figure `{figure.title}`"
        is_drawn = figure.kind == "samples"
        known = {*self.runs, BASE_LABEL} if is_drawn else set(self.runs)
        yield from self._name_problems(figure.title, figure.runs, known)
        yield from _empty(of, runs=figure.runs, prompts=figure.prompts)
        if figure.prompts and not is_drawn:
            yield f"Expected {of} to have no `prompts`, which a picture of {figure.kind} has not."
        for number in figure.prompts or ():
            if number < 0:
                yield f"Expected `prompts` of {of} to be counted from 0, but got {number}."

    def _name_problems(
        self, title: str, names: Sequence[str] | Mapping[str, float] | None, known: set[str]
    ) -> list[str]:
        return [
            f"Expected `{title}` to name runs of this comparison, but got `{name}`; there are "
            f"{', '.join(f'`{each}`' for each in sorted(known))}."
            for name in names or ()
            if name not in known
        ]


def _empty(of: str, **lists: Sequence[object] | None) -> Iterator[str]:
    """Say which lists are there and empty, which could mean all as well as none."""
    for name, values in lists.items():
        if values is not None and not values:
            yield f"Expected `{name}` of {of} to name something, but got []; without it, all are."
