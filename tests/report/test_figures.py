from pathlib import Path

from sdtune.report.figures import checkpoint_table, metric_rows
from tests.report.run_folder import TITLE, make_evaluation


def test_each_metric_stands_beside_the_bases_with_its_verdict():
    evaluation = make_evaluation(Path("pictures"))
    base, _, tuned = evaluation.checkpoints
    clip_score, style_score, memorised = metric_rows(evaluation, base, tuned)
    assert clip_score.base == ("28.1", "27.0 to 29.3")
    assert clip_score.tuned == ("27.7", "26.6 to 28.9")
    assert clip_score.difference == ("\N{MINUS SIGN}0.4", "\N{MINUS SIGN}1.4 to 0.6")
    assert clip_score.verdict == "no difference seen"
    assert (style_score.difference[0], style_score.verdict) == ("+0.40", "better")
    assert memorised.tuned == ("50 %", "0 % to 100 %")
    assert (memorised.difference, memorised.verdict) == (("", ""), "")
    assert (memorised.direction, style_score.direction) == ("lower is better", "higher is better")


def test_all_checkpoints_in_one_table():
    table = checkpoint_table(make_evaluation(Path("pictures")))
    assert table.columns == ["checkpoint", "CLIP score", "style score", TITLE]
    assert [row[0] for row in table.rows] == ["base", "step 200", "step 400"]
    assert table.rows[0][1] == "28.1 (27.0 to 29.3)"
