"""Which checkpoint is the best, by a rule that can be said in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sdtune.evaluation.descriptions import METRICS
from sdtune.evaluation.rounding import interval, number, places_of
from sdtune.run_folder.layout import BASE_LABEL
from sdtune.run_folder.record import Best, Checkpoint, Excluded

__all__ = ["BestRule", "Goal", "choose_best"]

Goal = Literal["style", "subject"]

# A style is how things are drawn and not what is drawn, so it is judged by the measure that what a
# picture shows cannot raise. A subject is what is drawn: there, likeness to its pictures counts.
_FIDELITY = {"style": "style_score", "subject": "clip_i"}


@dataclass(frozen=True)
class BestRule:
    """What makes a checkpoint the best.

    Attributes:
        goal: `style`: the highest style score; `subject`: the highest CLIP-I.
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
        wanted = _FIDELITY[self.goal]
        return wanted if all(wanted in each.figures for each in checkpoints) else "clip_i"

    def words(self, fidelity: str) -> str:
        """Say the rule in one sentence.

        Args:
            fidelity: The metric that decides.

        Returns:
            The sentence.
        """
        return (
            f"The highest {METRICS[fidelity].title} among the checkpoints whose CLIP score is not "
            f"seen to be more than {self.max_clip_score_drop:.0%} below the base's and of whose "
            f"pictures at most {self.max_memorised_share:.0%} are taken for copies."
        )

    def why_not(self, checkpoint: Checkpoint) -> str | None:
        """Say why a checkpoint is left out.

        Args:
            checkpoint: Its scores.

        Returns:
            One sentence, or None if it is not.
        """
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
    fidelity = rule.fidelity(tuned)
    reasons = {each.label: rule.why_not(each) for each in tuned}
    excluded = [Excluded(label, reason) for label, reason in reasons.items() if reason]
    left = [each for each in tuned if not reasons[each.label]]
    if not left:
        reason = f"The rule leaves every checkpoint out. Of the last: {excluded[-1].reason}"
        return Best(None, rule.words(fidelity), reason, excluded)
    best = max(left, key=lambda each: each.figures[fidelity].value)
    figure, title = best.figures[fidelity], METRICS[fidelity].title
    bases = [each.figures.get(fidelity) for each in checkpoints if each.label == BASE_LABEL]
    # as many as where the two are compared
    places = places_of(fidelity, [figure, best.against_base.get(fidelity), *bases])
    of = f"the highest of {len(left)}" if len(left) > 1 else "the only one that is left"
    of = "the only checkpoint" if len(tuned) == 1 else of
    value, between = number(figure.value, places), interval(figure.low, figure.high, places)
    reason = f"Its {title} is {value} ({between}), {of}."
    return Best(best.label, rule.words(fidelity), reason, excluded)
