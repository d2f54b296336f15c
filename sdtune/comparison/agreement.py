"""Whether runs that are planned can be compared: one evaluation, the same pictures, one base."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sdtune.comparison.planning import PlannedRun, evaluation_arguments, is_evaluation
from sdtune.comparison.run_inputs import base_hash
from sdtune.comparison.settings import SUBJECT

__all__ = ["input_problems", "measure_one_style", "protocol_problems", "rung_problems"]


def protocol_problems(plans: Sequence[PlannedRun]) -> list[str]:
    """Say which runs would be evaluated in another way than the first one.

    Args:
        plans: The runs.

    Returns:
        A sentence for each.
    """
    problems = []
    first, *others = plans
    expected = evaluation_arguments(first)
    for plan in others:
        given = evaluation_arguments(plan)
        names = sorted(
            name for name in {*given, *expected} if given.get(name) != expected.get(name)
        )
        if not measure_one_style(given.get("style_pictures"), expected.get("style_pictures")):
            names = [name for name in names if name != "style_pictures"]
        if plan.clip_skip != first.clip_skip:
            problems.append(
                f"Expected `{plan.name}` to be drawn as `{first.name}` is, but `model.clip_skip` "
                f"is {plan.clip_skip} and {first.clip_skip}, with which their bases draw other "
                "pictures: give both the same."
            )
        if names:
            problems.append(
                f"Expected `{plan.name}` to be evaluated as `{first.name}` is, but "
                f"{', '.join(f'`{name}`' for name in names)} of sdtune.EvaluationCallback "
                "differ; give them once for all runs, below `evaluation` of a comparison's file, "
                f"where `{SUBJECT}` in prompts stands for each run's own words."
            )
    return problems


def input_problems(plans: Sequence[PlannedRun]) -> Iterator[str]:
    """Say which runs would train on other pictures, or another base, than the first one.

    Args:
        plans: The runs. Bases of different names are loaded, for they may be the same.

    Yields:
        A sentence for each difference.
    """
    known = [(plan, plan.inputs) for plan in plans if plan.inputs is not None]
    if not known:
        return
    (first, expected), *others = known
    names = {inputs.base for _, inputs in known if inputs.base}
    hashes = {name: _base_hash(name) for name in names} if len(names) > 1 else {}
    for plan, inputs in others:
        differing = []
        if inputs.pictures != expected.pictures:
            differing.append(f"training pictures ({expected.count} and {inputs.count})")
        if hashes.get(inputs.base) != hashes.get(expected.base):
            differing.append(f"`model.base` ({expected.base} and {inputs.base})")
        if differing:
            yield (
                f"Expected `{plan.name}` to train on what `{first.name}` does, for their scores "
                f"are compared, but they differ in {' and '.join(differing)}: compare them in "
                "calls of their own, with an `--output` each."
            )


def _base_hash(base: str) -> str:
    try:
        return base_hash(base)
    except ValueError:  # the run itself says why
        return ""


def measure_one_style(one: int | None, other: int | None) -> bool:
    """Tell whether two evaluations have a style score each, which then must be the same one.

    Args:
        one: Training pictures for the style score of the one; None if it is the default.
        other: Those of the other.
    """
    return all(each is None or each >= 2 for each in (one, other))


def rung_problems(plans: Sequence[PlannedRun]) -> list[str]:
    """Say which runs would be evaluated at other steps than the first one.

    Args:
        plans: The runs, which are compared while they train.

    Returns:
        A sentence for each.
    """
    first, *others = plans
    expected = _evaluated_every(first)
    return [
        f"Expected `{plan.name}` to be evaluated as often as `{first.name}` is, every {expected} "
        f"steps, but `every_n_steps` of its sdtune.EvaluationCallback is {_evaluated_every(plan)}."
        for plan in others
        if _evaluated_every(plan) != expected
    ]


def _evaluated_every(plan: PlannedRun) -> object:
    callbacks = plan.changes["trainer"]["callbacks"]
    [found] = [each for each in callbacks if is_evaluation(each)]
    return (found.get("init_args") or {}).get("every_n_steps")
