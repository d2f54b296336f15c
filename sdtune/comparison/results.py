"""What the runs of a comparison left, and whether it can be compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from sdtune._checks import shortened
from sdtune.comparison.agreement import measure_one_style
from sdtune.comparison.execution import Outcome
from sdtune.comparison.loss_settings import loss_settings
from sdtune.comparison.planning import PlannedRun
from sdtune.comparison.settings import SUBJECT
from sdtune.run_folder.curves import Curve, read_curves
from sdtune.run_folder.layout import RunFolder
from sdtune.run_folder.record import Checkpoint, Evaluation, Figure
from sdtune.run_folder.terms import LATER_SETTINGS

__all__ = ["ComparedRun", "are_comparable", "check_comparable", "read_result"]

_LOSS_TAG = "train/loss"
_LATER = (*LATER_SETTINGS, "held-out pictures")
_MAY_DIFFER = ("precision", "quantization")  # what a comparison may well be about


@dataclass(frozen=True)
class ComparedRun:
    """One run as a table shows it.

    Attributes:
        name: The run.
        label: How tables name it.
        outcome: How it came out.
        subject: What stands for `{subject}` in prompts.
        evaluation: Its scores; None if it failed.
        loss: The training loss as it was logged; None if it was not.
        loss_settings: What makes it this loss, see `loss_settings`; empty if that is not known.
    """

    name: str
    label: str
    outcome: Outcome
    subject: str | None = None
    evaluation: Evaluation | None = None
    loss: Curve | None = None
    loss_settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The run folder."""
        return Path(self.outcome.folder)

    @property
    def losses(self) -> Sequence[float]:
        """The training loss at each logged step; may hold nan."""
        return self.loss.values if self.loss else []

    @property
    def base(self) -> Checkpoint | None:
        """The untuned base, as this run's evaluation drew and scored it."""
        return self.evaluation.checkpoints[0] if self.evaluation else None

    @property
    def last(self) -> Checkpoint | None:
        """The run's last checkpoint: where its budget ended.

        Not its best: that is chosen by the same figures, and would be shown better than it is.
        """
        return self.evaluation.checkpoints[-1] if self.evaluation else None


def read_result(plan: PlannedRun, label: str, outcome: Outcome) -> ComparedRun:
    """Read what a run left.

    Args:
        plan: The run.
        label: How tables shall name it.
        outcome: How it came out.

    Returns:
        The result; without scores if the run failed.
    """
    result = ComparedRun(plan.name, label, outcome, plan.subject)
    if outcome.status == "failed":
        return result
    evaluation = Evaluation.load(RunFolder(plan.folder).record)
    return replace(
        result,
        evaluation=evaluation,
        loss=read_curves(plan.folder).get(_LOSS_TAG),
        loss_settings=loss_settings(plan.folder),
    )


def check_comparable(results: Sequence[ComparedRun]) -> None:
    """Make sure that all runs were scored in the same way, on the same pictures, from one base.

    Args:
        results: The runs; failed ones are left out.

    Raises:
        ValueError: If they were not; one sentence names what differs, and where.
    """
    problem = next(_differences(results), None)
    if problem is not None:
        raise ValueError(problem)


def are_comparable(results: Sequence[ComparedRun]) -> bool:
    """Tell whether `check_comparable` finds nothing."""
    return next(_differences(results), None) is None


def _differences(results: Sequence[ComparedRun]) -> Iterator[str]:
    """Yield a sentence for each run that was scored in another way than the first one."""
    scored = [(each, _terms(each.evaluation, each.subject)) for each in results if each.evaluation]
    for result, terms in scored[1:]:
        first, expected = scored[0]
        differing = [
            name
            for name in expected
            if not _agree(name, expected[name], terms[name])
            # of prompts that fit into one chunk the base draws the same
            and not (name == "max_prompt_chunks" and _figures(first) == _figures(result))
        ]
        if differing:
            shown = ", ".join(
                f"`{name}` ({shortened(expected[name])} and {shortened(terms[name])})"
                for name in differing
            )
            yield (
                f"Expected `{first.name}` and `{result.name}` to be scored in the same way, but "
                f"they differ in {shown}; see {RunFolder(first.folder).record} and "
                f"{RunFolder(result.folder).record}, and remove the run folder that shall be made "
                "anew."
            )


def _agree(name: str, one: Any, other: Any) -> bool:
    """Tell whether scores compare by one of their terms, as far as both records say it."""
    if name in _LATER and None in (one, other):
        return True
    return one == other or (name == "style_pictures" and not measure_one_style(one, other))


def _figures(result: ComparedRun) -> Mapping[str, Figure] | None:
    return result.base.figures if result.base is not None else None


def _terms(evaluation: Evaluation, subject: str | None) -> dict[str, object]:
    terms: dict[str, object] = asdict(evaluation.protocol)
    for name in _MAY_DIFFER:
        del terms[name]
    if subject:
        prompts = evaluation.protocol.prompts
        terms["prompts"] = [prompt.replace(subject, SUBJECT) for prompt in prompts]
    terms["held-out pictures"] = evaluation.training_pictures.held_out
    terms["training pictures"] = evaluation.training_pictures.sha256
    terms["base"] = evaluation.base.fingerprint
    return terms
