"""Which checkpoint is the best, by a rule that can be said in one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sdtune.evaluation.rounding import figure_words, places_of
from sdtune.metrics.registry import METRICS
from sdtune.run_folder.layout import BASE_LABEL
from sdtune.run_folder.record import Best, Checkpoint, Excluded

__all__ = ["BestRule", "Goal", "check_goal", "choose_best"]

Goal: TypeAlias = str
"""`style`, `subject`, or the name of a registered metric."""

# A style is how things are drawn and not what is drawn, so it is judged by the measure that what a
# picture shows cannot raise. A subject is what is drawn: there, likeness to its pictures counts.
_FIDELITY = {"style": "style_score", "subject": "clip_i"}
_ASKED = ("clip_score", "memorised_share")  # of every checkpoint, whatever the goal


def check_goal(goal: Goal, missing: Mapping[str, str] | None = None) -> None:
    """Check that the best checkpoint can be chosen by a goal.

    Args:
        goal: `style`, `subject`, or a metric.
        missing: What metrics need and the evaluation will not have -> why.

    Raises:
        ValueError: If it is neither, or a metric that will not be measured.
    """
    if goal in _FIDELITY:
        return
    if goal not in METRICS:
        names = ", ".join(f"`{each}`" for each in [*_FIDELITY, *METRICS])
        raise ValueError(f"Expected `goal` to be one of {names}, but got `{goal}`.")
    reasons = [(missing or {})[need] for need in METRICS[goal].needs if need in (missing or {})]
    if reasons:
        raise ValueError(
            f"Expected `goal` to be a metric that is measured, but got `{goal}`: "
            f"{'; '.join(reasons)}."
        )


@dataclass(frozen=True)
class BestRule:
    """What makes a checkpoint the best.

    Attributes:
        goal: `style`: the highest style score; `subject`: the highest CLIP-I; a metric: its highest
            figure, or its lowest where less is better.
        max_clip_score_drop: By what share of the base's the CLIP score may fall. A fall that the
            interval does not tell from none counts as none.
        max_memorised_share: The largest share of samples that may be taken for copies. With few
            training pictures chance alone flags some: 2 in 11 with ten of them.
    """

    goal: Goal = "style"
    max_clip_score_drop: float = 0.1
    max_memorised_share: float = 0.25

    def fidelity(self, checkpoints: Sequence[Checkpoint]) -> str:
        """Name the metric that decides; CLIP-I where the style score could not be measured."""
        wanted = _FIDELITY.get(self.goal, self.goal)
        if self.goal not in _FIDELITY or all(wanted in each.figures for each in checkpoints):
            return wanted
        return "clip_i"

    def words(self, fidelity: str) -> str:
        """Say the rule in one sentence.

        Args:
            fidelity: The metric that decides.

        Returns:
            The sentence.
        """
        return (
            f"The {_extreme(fidelity)} {METRICS[fidelity].title} among the checkpoints whose CLIP "
            f"score is not seen to fall, or is at most {self.max_clip_score_drop:.0%} below the "
            f"base's, and of whose pictures at most {self.max_memorised_share:.0%} are taken for "
            "copies."
        )

    def why_not(self, checkpoint: Checkpoint) -> str | None:
        """Say why a checkpoint is left out.

        Args:
            checkpoint: Its scores.

        Returns:
            One sentence, or None if it is not.
        """
        if not checkpoint.figures:  # as the evaluator leaves one that draws no pictures
            return "Its pictures are not finite numbers, so it was not scored."
        lost = [each for each in _ASKED if each not in checkpoint.figures]
        if lost:
            return f"{' and '.join(METRICS[each].title for each in lost)}: not measured."
        reasons = []
        tuned, change = checkpoint.figures["clip_score"], checkpoint.against_base["clip_score"]
        base = tuned.value - change.difference
        if change.verdict == "worse" and tuned.value < (1.0 - self.max_clip_score_drop) * base:
            reasons.append(f"its CLIP score fell from {base:.1f} to {tuned.value:.1f}")
        memorised = checkpoint.figures["memorised_share"]
        if memorised.value > self.max_memorised_share:
            reasons.append(f"{memorised.value:.0%} of its pictures are taken for copies")
        sentence = " and ".join(reasons)
        return f"{sentence[0].upper()}{sentence[1:]}." if reasons else None


def choose_best(checkpoints: Sequence[Checkpoint], rule: BestRule) -> Best | None:
    """Choose the best checkpoint; of equals, the earliest.

    Args:
        checkpoints: The scores of all; of the base nothing is taken but how it is rounded.
        rule: The rule.

    Returns:
        The choice, whose label is None if the rule leaves all of them out; None if there are no
        checkpoints but the base.
    """
    tuned = [each for each in checkpoints if each.label != BASE_LABEL]
    if not tuned:
        return None
    fidelity = rule.fidelity([each for each in tuned if each.figures])
    title = METRICS[fidelity].title
    unknown = f"{title}: not measured."
    reasons = {
        each.label: rule.why_not(each) or (None if fidelity in each.figures else unknown)
        for each in tuned
    }
    excluded = [Excluded(label, reason) for label, reason in reasons.items() if reason]
    left = [each for each in tuned if not reasons[each.label]]
    if not left:
        reason = f"The rule leaves every checkpoint out. Of the last: {excluded[-1].reason}"
        return Best(None, rule.words(fidelity), reason, excluded)
    sign = 1 if METRICS[fidelity].higher_is_better else -1
    best = max(left, key=lambda each: sign * each.figures[fidelity].value)
    figure = best.figures[fidelity]
    bases = [each.figures.get(fidelity) for each in checkpoints if each.label == BASE_LABEL]
    # as many as where the two are compared
    places = places_of(fidelity, [figure, best.against_base.get(fidelity), *bases])
    of = (
        f"the {_extreme(fidelity)} of {len(left)}" if len(left) > 1 else "the only one that is left"
    )
    of = "the only checkpoint" if len(tuned) == 1 else of
    value, between = figure_words(fidelity, figure, places)
    reason = f"Its {title} is {value} ({between}), {of}."
    return Best(best.label, rule.words(fidelity), reason, excluded)


def _extreme(metric: str) -> str:
    return "highest" if METRICS[metric].higher_is_better else "lowest"
