"""Runs of a comparison that would leave nothing that it can read, told before they train."""

from collections.abc import Iterator

from sdtune.callbacks.evaluation import EvaluationCallback
from sdtune.commands.recipe_cli import RecipeCLI

__all__ = ["unreadable_problems"]


def unreadable_problems(cli: RecipeCLI, output: str) -> Iterator[str]:
    """Say why a run's scores would not be where a comparison looks for them.

    Args:
        cli: The run's recipe with all overrides, built.
        output: The comparison's folder.

    Yields:
        A sentence for each option of the Trainer that is in the way.
    """
    options = cli.config.trainer
    if str(options.default_root_dir) != output:
        yield (
            f"Expected `trainer.default_root_dir` to be left to the comparison, whose runs go to "
            f"{output}, but got {options.default_root_dir}: name that as `--output`."
        )
    if options.logger not in (None, True):
        yield (
            "Expected `trainer.logger` to be left to the comparison, which reads scores and curves "
            f"where sdtune's own logger puts them, but got {_name(options.logger)}: leave it out."
        )
    if options.fast_dev_run:
        yield (
            "Expected no `trainer.fast_dev_run` in a comparison, for such a trial is not scored: "
            "give `--budget_steps` for short runs."
        )
    if not any(isinstance(each, EvaluationCallback) for each in cli.trainer.callbacks):  # type: ignore[attr-defined]
        yield (
            "Expected sdtune.EvaluationCallback among `trainer.callbacks`, whose scores are "
            "compared, but the overrides leave it out: add to them with `trainer.callbacks+`."
        )


def _name(logger: object) -> str:
    return str(getattr(logger, "class_path", logger))
