"""From a comparison to its runs: what each is called, where it goes and how it is started."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

import sdtune
from sdtune._prompt_fields import PromptFields
from sdtune.comparison.given_keys import last_given
from sdtune.comparison.output_names import STARTS
from sdtune.comparison.run_inputs import RunInputs
from sdtune.comparison.settings import SUBJECT, Comparison, Variant
from sdtune.comparison.whole_recipe import whole_words
from sdtune.run_folder.record import EvaluationSettings

__all__ = [
    "PlannedRun",
    "evaluation_arguments",
    "evaluation_problem",
    "evaluation_terms",
    "is_evaluation",
    "override_words",
    "plan_run",
]

_CALLBACK = "sdtune.EvaluationCallback"
_PROTOCOL = {each.name for each in fields(EvaluationSettings)}


@dataclass(frozen=True)
class PlannedRun:
    """A run that shall be there in the end.

    Attributes:
        name: Its name in the comparison.
        recipe: Path of its recipe.
        changes: What the comparison adds to the recipe: the folder of runs and the evaluation.
        words: Overrides on the command line, such as `--model.rank=8`.
        digest: Hash of all that decides its result: recipe, overrides, budget, evaluation, version,
            and what it reads, once `with_inputs` has said it.
        output: The comparison's folder.
        subject: What stands for `{subject}` in prompts.
        fields: What the fields of its prompts read, as its data says.
        inputs: What it reads; None before that is known.
        clip_skip: Text encoder layer that its base and its adapter are drawn with.
        text: The recipe as it was read, which is trained by whatever becomes of its file.
    """

    name: str
    recipe: str
    changes: dict[str, Any]
    words: tuple[str, ...]
    digest: str
    output: Path
    subject: str | None = None
    fields: PromptFields = field(default_factory=PromptFields)
    inputs: RunInputs | None = None
    clip_skip: object = 1
    text: str = ""

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.output / self.name / self.digest

    @property
    def start_folder(self) -> Path:
        """What belongs to the starts of the run: recipes, record and log."""
        return self.output / STARTS / f"{self.name}_{self.digest}"

    @property
    def recipe_path(self) -> Path:
        """The first recipe file, a copy of the recipe; no run's name is like its name."""
        return self.start_folder / "_recipe.yaml"

    @property
    def changes_path(self) -> Path:
        """The second recipe file; a run is named by the last one's name."""
        return self.start_folder / f"{self.name}.yaml"

    @property
    def options(self) -> list[str]:
        """The options that make up its recipe."""
        return [f"--config={self.recipe_path}", f"--config={self.changes_path}", *self.words]

    def command(self, resume: bool = False) -> list[str]:
        """Give the words that start or resume the run.

        Args:
            resume: Whether there is a checkpoint to go on from.

        Returns:
            Such as ["sdtune", "fit", "--config=.../_recipe.yaml", ...].
        """
        end = f"--resume={self.folder}" if resume else f"--run={self.digest}"
        return ["sdtune", "fit", *self.options, end]

    def with_fields(self, fields: PromptFields) -> PlannedRun:
        """Take over what its data calls the subject, unless the comparison says it.

        Args:
            fields: What the fields of its prompts read.

        Returns:
            The same run.
        """
        own = fields.readings.get(SUBJECT[1:-1])
        return replace(self, fields=fields, subject=self.subject or (own.tuned if own else None))

    def with_inputs(self, inputs: RunInputs) -> PlannedRun:
        """Take over what it reads, which decides its result too.

        Args:
            inputs: What was found.

        Returns:
            The run, under a digest that changes with its pictures, captions and weights.
        """
        return replace(self, inputs=inputs, digest=_short_hash(self.digest + inputs.digest))

    def write_recipes(self) -> None:
        """Write the recipe files."""
        self.start_folder.mkdir(parents=True, exist_ok=True)
        self.recipe_path.write_text(self.text, encoding="utf-8")
        header = f"# What the comparison adds to {self.recipe}.\n"
        text = yaml.safe_dump(self.changes, sort_keys=False, allow_unicode=True)
        self.changes_path.write_text(header + text, encoding="utf-8")


def plan_run(
    comparison: Comparison,
    name: str,
    recipe: Mapping[str, Any],
    words: Sequence[str] = (),
) -> PlannedRun:
    """Plan one run of a comparison.

    Args:
        comparison: What is compared.
        name: Which of its runs.
        recipe: The content of the run's recipe, parts of it in their places, see `whole_recipe`.
        words: Overrides of the call, above those of the comparison.

    Returns:
        The plan, but for the recipe's text.

    Raises:
        ValueError: If an override names a part that is no YAML.
    """
    settings = comparison.runs[name]
    trainer = _part(recipe, "trainer")
    callbacks = _with_evaluation(trainer.get("callbacks"), comparison.evaluation, settings)
    all_words = (
        *whole_words([*override_words(comparison, name), *words]),
        *_budget_words(comparison, has_epochs=trainer.get("max_epochs") is not None),
    )
    decides = {
        "recipe": {key: value for key, value in recipe.items() if key != "trainer"},
        "trainer": {**trainer, "default_root_dir": None, "callbacks": None},
        "callbacks": callbacks,
        "words": all_words,
        "sdtune": sdtune.__version__,
    }
    content = json.dumps(decides, sort_keys=True, default=str)
    return PlannedRun(
        name=name,
        recipe=settings.recipe,
        changes={"trainer": {"default_root_dir": comparison.output, "callbacks": callbacks}},
        words=all_words,
        digest=_short_hash(content),
        output=Path(comparison.output),
        subject=settings.subject,
        clip_skip=_clip_skip(recipe, all_words),
    )


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def override_words(comparison: Comparison, name: str) -> list[str]:
    """Word the overrides of a run for the command line: those for all runs, then its own.

    Args:
        comparison: What is compared.
        name: Which of its runs.

    Returns:
        Such as ["--model.rank=8"].
    """
    overrides = {**comparison.overrides, **comparison.runs[name].overrides}
    return [f"--{key}={_as_word(value)}" for key, value in overrides.items()]


def evaluation_arguments(plan: PlannedRun) -> dict[str, Any]:
    """Give the protocol that a run's EvaluationCallback is asked for, its subject left open.

    Args:
        plan: The run.

    Returns:
        Those of the callback's arguments that decide what figures can be compared with.
    """
    terms = evaluation_terms(plan.changes["trainer"]["callbacks"])
    for name, fill in (("prompts", plan.fields.tuned), ("class_prompts", plan.fields.plain)):
        texts = [str(each) for each in terms.get(name) or ()]
        if texts and not plan.fields.problems(texts, name):
            terms[name] = [fill(each, name) for each in texts]
    if plan.subject and "prompts" in terms:
        terms["prompts"] = _put(terms["prompts"], plan.subject, SUBJECT)
    return terms


def evaluation_terms(callbacks: Any) -> dict[str, Any]:
    """Give what a recipe asks its EvaluationCallback for, as it is written there.

    Args:
        callbacks: The recipe's `trainer.callbacks`.

    Returns:
        The arguments that `EvaluationSettings` has; empty if there is no such callback.
    """
    for callback in filter(is_evaluation, _callbacks(callbacks)):
        given = callback.get("init_args") or {}
        terms = {name: value for name, value in given.items() if name in _PROTOCOL}
        if given.get("goal") == "subject":  # which measures no style
            terms["style_pictures"] = 0
        return terms
    return {}


def evaluation_problem(
    comparison: Comparison, name: str, recipe: Mapping[str, Any], words: Sequence[str] = ()
) -> str | None:
    """Say that nothing tells what a run shall draw to be scored, if that is so.

    Args:
        comparison: What is compared.
        name: Which of its runs.
        recipe: The content of the run's recipe.
        words: Overrides of the call.

    Returns:
        A sentence; None if the recipe, the comparison or the call tells it.
    """
    callbacks = _callbacks(_part(recipe, "trainer").get("callbacks"))
    all_words = (*override_words(comparison, name), *words)
    if any(map(is_evaluation, callbacks)) or "prompts" in comparison.evaluation:
        return None
    if any(word.startswith("--trainer.callbacks") for word in all_words):
        return None
    return (
        f"Expected {_CALLBACK} among `trainer.callbacks` of {comparison.runs[name].recipe}, whose "
        "scores are compared, but it has none: add it with the `prompts` that shall be drawn, or "
        "give them to all runs below `evaluation` of a comparison's file."
    )


def _with_evaluation(callbacks: Any, evaluation: Mapping[str, Any], settings: Variant) -> list[Any]:
    """Put the comparison's evaluation in the place of the recipe's, or behind the others."""
    found = _callbacks(callbacks)
    old = next((each for each in found if is_evaluation(each)), None)
    arguments = {**((old or {}).get("init_args") or {})}
    arguments |= evaluation
    if settings.subject and "prompts" in arguments:
        arguments["prompts"] = _put(arguments["prompts"], SUBJECT, settings.subject)
    new = {"class_path": _CALLBACK, "init_args": arguments}
    return [new if each is old else each for each in found] + ([] if old else [new])


def _clip_skip(recipe: Mapping[str, Any], words: Sequence[str]) -> object:
    """Find the layer that a model is trained and drawn with: the call's, the recipe's, or 1."""
    arguments = _part(recipe, "model").get("init_args") or {}
    given = last_given(words, "model.clip_skip")
    return arguments.get("clip_skip", 1) if given is None else yaml.safe_load(given)


def _part(recipe: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Give a part of a recipe; none of one that is a class's name alone, or refused later."""
    part = recipe.get(key)
    return part if isinstance(part, dict) else {}


def _callbacks(callbacks: Any) -> list[dict[str, Any]]:
    given = callbacks if isinstance(callbacks, list) else [callbacks] if callbacks else []
    return [each if isinstance(each, dict) else {"class_path": each} for each in given]


def is_evaluation(callback: Mapping[str, Any]) -> bool:
    """Tell whether a callback of a recipe is the one whose scores are compared."""
    return str(callback.get("class_path")).rpartition(".")[2] == _CALLBACK.rpartition(".")[2]


def _put(prompts: Sequence[str], slot: str, words: str) -> list[str]:
    return [str(prompt).replace(slot, words) for prompt in prompts]


def _budget_words(comparison: Comparison, has_epochs: bool) -> list[str]:
    if comparison.budget_steps is not None:
        words = [f"--trainer.max_steps={comparison.budget_steps}"]
        return [*words, "--trainer.max_epochs=-1"] if has_epochs else words
    if comparison.budget_minutes is not None:
        seconds = round(timedelta(minutes=comparison.budget_minutes).total_seconds())
        hours, minutes = divmod(seconds // 60, 60)
        days, hours = divmod(hours, 24)
        clock = f"{days:02d}:{hours:02d}:{minutes:02d}:{seconds % 60:02d}"
        return [f"--trainer.max_time={clock}"]
    return []


def _as_word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
