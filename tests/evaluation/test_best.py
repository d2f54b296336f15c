from dataclasses import replace

import pytest

from sdtune.evaluation.best import BestRule, check_goal, choose_best
from sdtune.evaluation.descriptions import describe_metrics
from sdtune.report.figures import metric_rows
from sdtune.run_folder.record import Checkpoint, Difference, Figure
from tests.run_folder.test_record import make_record


def checkpoint(step, style=0.5, clip_i=0.5, clip_score=30.0, seen=True, memorised=0.0):
    values = {"style_score": style, "clip_i": clip_i, "clip_score": clip_score}
    verdict = "worse" if seen and clip_score < 30 else "no difference seen"
    return Checkpoint(
        label=f"step_{step}",
        step=step,
        adapter=None,
        pictures="",
        figures={
            name: Figure(value, value - 0.1, value + 0.1, 8)
            for name, value in {**values, "memorised_share": memorised}.items()
            if value is not None
        },
        against_base={"clip_score": Difference(clip_score - 30.0, -9.0, 9.0, verdict)},
    )


BASE = Checkpoint("base", 0, None, "", {})


def test_the_goal_decides_which_likeness_counts():
    both = [BASE, checkpoint(1, style=0.9, clip_i=0.2), checkpoint(2, style=0.3, clip_i=0.8)]
    style, subject = choose_best(both, BestRule("style")), choose_best(both, BestRule("subject"))
    assert (style.label, subject.label) == ("step_1", "step_2")
    assert "style score is 0.90 (0.80 to 1.00), the highest of 2" in style.reason
    assert style.rule.startswith("The highest style score among")
    assert subject.rule.startswith("The highest CLIP-I among")


def test_the_reason_has_the_digits_of_the_reports_table():
    base = replace(BASE, figures=checkpoint(0, style=0.0).figures)
    tuned = checkpoint(1, style=-0.0343)
    tuned.against_base["style_score"] = Difference(-0.0343, -1.7, 1.7, "no difference seen")
    minus = "\N{MINUS SIGN}"
    evaluation = replace(make_record(), checkpoints=[base, tuned])
    evaluation.metrics.update(describe_metrics(["style_score"]))
    rows = {row.title: row.tuned for row in metric_rows(evaluation, base, tuned)}
    assert rows["style score"] == (f"{minus}0.03", f"{minus}0.13 to 0.07")
    value, between = rows["style score"]
    assert f"is {value} ({between}), the only" in choose_best([base, tuned], BestRule()).reason


def test_without_a_style_score_clip_i_decides():
    both = [checkpoint(1, style=0.9, clip_i=0.2), checkpoint(2, style=None, clip_i=0.8)]
    assert choose_best(both, BestRule("style")).label == "step_2"


def test_lost_prompts_and_copies_are_left_out():
    checkpoints = [
        checkpoint(1, style=0.4),
        checkpoint(2, style=0.9, clip_score=26.0),
        checkpoint(3, style=0.8, memorised=0.5),
        checkpoint(4, style=0.3, clip_score=28.0),
    ]
    best = choose_best(checkpoints, BestRule())
    assert best.label == "step_1"
    assert {each.label: each.reason for each in best.excluded} == {
        "step_2": "Its CLIP score fell from 30.0 to 26.0.",
        "step_3": "50% of its pictures are taken for copies.",
    }
    assert choose_best(checkpoints, BestRule(max_clip_score_drop=0.2)).label == "step_2"
    assert choose_best(checkpoints, BestRule(max_memorised_share=0.5)).label == "step_3"
    unsure = checkpoint(2, style=0.9, clip_score=26.0, seen=False)
    assert choose_best([checkpoints[0], unsure], BestRule()).label == "step_2"


def test_nothing_to_choose_from():
    assert choose_best([BASE], BestRule()) is None
    best = choose_best([BASE, checkpoint(1, memorised=1.0)], BestRule())
    assert best.label is None
    assert best.reason.endswith("Of the last: 100% of its pictures are taken for copies.")


@pytest.mark.parametrize(("styles", "label"), [((0.5, 0.5), "step_1"), ((0.4, 0.5), "step_2")])
def test_of_equals_the_earliest(styles, label):
    checkpoints = [checkpoint(number + 1, style=each) for number, each in enumerate(styles)]
    assert choose_best(checkpoints, BestRule()).label == label


def test_a_metric_is_a_goal_by_its_own_direction():
    checkpoints = [checkpoint(1, memorised=0.2), checkpoint(2, memorised=0.1)]
    lowest = choose_best(checkpoints, BestRule("memorised_share"))
    assert lowest.label == "step_2"
    assert lowest.rule.startswith("The lowest memorised among")
    assert lowest.reason.startswith("Its memorised is 10 % (")
    assert lowest.reason.endswith("), the lowest of 2.")
    assert choose_best(checkpoints, BestRule("clip_score")).label == "step_1"


def test_what_was_not_measured_is_not_chosen():
    unscored = replace(checkpoint(1), figures={}, against_base={})
    best = choose_best([BASE, unscored, checkpoint(2)], BestRule())
    assert best.label == "step_2"
    assert best.rule.startswith("The highest style score")
    assert [each.reason for each in best.excluded] == [
        "Its pictures are not finite numbers, so it was not scored."
    ]
    assert choose_best([BASE, unscored], BestRule()).label is None
    [left_out] = choose_best([checkpoint(1), checkpoint(2)], BestRule("dino")).excluded[1:]
    assert left_out.reason == "DINO: not measured."
    no_share = checkpoint(3, memorised=None)
    assert BestRule().why_not(no_share) == "memorised: not measured."


def test_a_goal_that_is_none_or_will_not_be_measured_is_refused():
    for goal in ("style", "subject", "clip_mmd"):
        check_goal(goal, {"style": "why"})
    with pytest.raises(ValueError, match=r"one of `style`, `subject`, `clip_score`, .* `beauty`"):
        check_goal("beauty")
    with pytest.raises(ValueError, match="that is measured, but got `dino`: give `dino` a model"):
        check_goal("dino", {"dino": "give `dino` a model"})
