"""What a comparison is asked to show, checked before the first of its runs begins."""

from collections.abc import Iterator, Sequence

from sdtune.commands.errors import nearest
from sdtune.comparison.planning import PlannedRun, evaluation_arguments
from sdtune.comparison.settings import TRAIN_LOSS, Comparison, FigureSettings
from sdtune.metrics.registry import METRICS

__all__ = ["shown_problems"]


def shown_problems(comparison: Comparison, plans: Sequence[PlannedRun]) -> Iterator[str]:
    """Say which tables and figures could not be made of the runs.

    Args:
        comparison: What is compared.
        plans: Its runs, whose recipes are parsed: that brings along metrics that are registered
            by what they name.

    Yields:
        A sentence for each unknown metric, and for each figure of prompts that are not evaluated.
    """
    known = [*METRICS, TRAIN_LOSS]
    for table in comparison.tables:
        for name in table.metrics or ():
            if name not in known:
                yield (
                    f"Expected `metrics` of the table `{table.title}` to be among "
                    f"{', '.join(f'`{each}`' for each in known)}, but got `{name}`"
                    f"{nearest(name, known)}"
                )
    for figure in comparison.figures:
        yield from _prompt_problems(figure, plans)


def _prompt_problems(figure: FigureSettings, plans: Sequence[PlannedRun]) -> Iterator[str]:
    counts = [count for plan in plans if (count := _prompts(plan)) is not None]
    if not figure.prompts or not counts:
        return
    least = min(counts)  # they have as many each, or that is a problem of its own
    missing = [str(number) for number in figure.prompts if number >= least]
    if missing:
        only = "prompt that is evaluated" if least == 1 else "prompts that are evaluated"
        yield (
            f"Expected `prompts` of the figure `{figure.title}` to be among the {least} {only}, "
            f"counted from 0, but got {', '.join(missing)}."
        )


def _prompts(plan: PlannedRun) -> int | None:
    """Count the prompts that a run will be evaluated with, as far as its recipe tells it."""
    if any(word.startswith("--trainer.callbacks") for word in plan.words):
        return None
    prompts = evaluation_arguments(plan).get("prompts")
    return len(prompts) if isinstance(prompts, list) else None
