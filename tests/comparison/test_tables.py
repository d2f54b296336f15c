from dataclasses import replace

from sdtune.comparison.settings import TableSettings
from sdtune.comparison.tables import build_table, escaped, markdown, measured_metrics, transposed
from sdtune.report.table import Table
from sdtune.run_folder.record import TrainingPictures
from tests.comparison.runs import make_result

EVEN = [30.0, 30.0, 30.0, 30.0]
RESULTS = [make_result("lora", EVEN), make_result("word", [20.0, 21.0, 22.0, 23.0])]


def test_a_table_in_markdown():
    settings = TableSettings(
        "Table 2", metrics=["clip_score"], paper={"base": 35.505, "lora": 24.97}, note="On nano."
    )
    table = build_table(settings, [*RESULTS, make_result("broken")])
    base = table.rows[0][3]
    gain = table.rows[1][3].partition("\n")[2]
    assert markdown(table).partition("\n\n")[0] == (
        "| run | steps | minutes | CLIP score ↑ | the paper |\n"
        "| --- | --- | --- | --- | --- |\n"
        f"| base | 0 | - | {base} | 35.505 |\n"
        f"| lora | 2 | 1.5 | ★ 30 (no interval)<br>{gain} | 24.97 |\n"
        f"| word | 2 | 1.5 | {base}<br>0 (0 to 0), no difference seen | - |\n"
        "| broken | - | 1.5 | failed: Expected the loss to be finite, but got nan. | - |"
    )
    assert base.startswith("22 (")
    assert gain.startswith("+8 (")
    assert gain.endswith("), better")
    assert table.note.startswith(
        "On nano. From low to high here: base, lora; in the paper: lora, base. Figures have their "
    )


def test_base_has_a_row_for_each_way_of_naming_the_subject():
    word = make_result("word", EVEN, subject="<erica>", base_scores=[1.0] * 4)
    table = build_table(TableSettings("T"), [RESULTS[0], word])
    assert [row[0] for row in table.rows] == [
        "base, prompts of lora",
        "base, prompts of word",
        "lora",
        "word",
    ]


def test_rows_are_those_asked_for():
    table = build_table(TableSettings("T", runs=["word"]), RESULTS)
    assert [row[0] for row in table.rows] == ["word"]
    assert "★" not in table.rows[0][3]  # best of one


def test_metrics_are_the_evaluations_and_then_the_loss():
    with_loss = make_result("lora", EVEN, [0.5, 0.4])
    assert measured_metrics([make_result("broken"), with_loss]) == ["clip_score", "train_loss"]
    table = build_table(TableSettings("T", metrics=["train_loss"]), [with_loss])
    assert [row[0] for row in table.rows] == ["lora"]  # the base was not trained


def test_where_all_runs_failed_the_table_says_why():
    settings = TableSettings("T", ["clip_score"], paper={"too": 1.0})
    table = build_table(settings, [make_result("broken"), make_result("too")])
    assert [row[3].partition(":")[0] for row in table.rows] == ["failed", "failed"]
    assert (table.columns[-2:], table.rows[1][-1]) == (["CLIP score ↑", "the paper"], "1")
    assert table.note == ""


def test_a_metric_that_no_run_measured_is_a_column_of_dashes():
    settings = TableSettings("T", metrics=["dino", "clip_score", "train_loss"])
    table = build_table(settings, RESULTS)
    assert table.columns[3:] == ["DINO ↑", "CLIP score ↑", "average training loss ↓"]
    assert [(row[3], row[5]) for row in table.rows] == [("-", "-")] * 3
    assert "★ 30" in table.rows[1][4]
    alone = build_table(TableSettings("T", metrics=["dino"]), RESULTS)
    assert [row[3] for row in alone.rows] == ["-", "-"]
    assert alone.note == ""


def test_the_table_of_every_metric_says_what_each_means():
    every = build_table(TableSettings("T"), RESULTS)
    [(title, meaning)] = every.meanings
    assert title == "CLIP score"
    assert markdown(every).endswith(f"\n\n- **CLIP score**: {meaning}\n")
    assert build_table(TableSettings("T", metrics=["clip_score"]), RESULTS).meanings == []


def test_a_table_on_its_side():
    terms = [("steps", "how many")]
    table = transposed(Table("T", ["run", "steps"], [["a", "1"], ["b", "2"]], "N", terms))
    assert table == Table("T", ("run", "a", "b"), [("steps", "1", "2")], "N", terms)


def test_markdown_shows_words_in_brackets():
    assert markdown(Table("T", ["run"], [["a|<erica>"]])) == "| run |\n| --- |\n| a\\|\\<erica> |\n"
    assert escaped(r"C:\new \<b> \\|") == r"C:\new \\\<b> \\\\\|"


def test_the_legend_says_how_runs_were_told_apart():
    by_samples = build_table(TableSettings("T", metrics=["clip_score"]), RESULTS)
    assert "may be 0: sample by sample, its 95 % interval holds 0." in by_samples.note
    results = [without_samples(make_result(name, EVEN)) for name in ("lora", "word")]
    of_a_set = build_table(TableSettings("T", metrics=["clip_score"]), results)
    assert "may be 0: where there are no samples to pair, the intervals" in of_a_set.note
    assert [row[3].startswith("★") for row in of_a_set.rows[1:]] == [True, True]
    assert "★" not in build_table(TableSettings("T", ["clip_score"]), RESULTS[:1]).note


def test_runs_of_other_pictures_have_figures_and_no_stars():
    first, second = (make_result(name, EVEN) for name in ("lora", "word"))
    other = TrainingPictures("pictures", 3, "other")
    second = replace(second, evaluation=replace(second.evaluation, training_pictures=other))
    table = build_table(TableSettings("T", metrics=["clip_score"]), [first, second])
    assert "★" not in table.note.partition("These runs were not all scored")[0] + str(table.rows)
    assert "not on the same pictures and base: figures of different runs say nothing" in table.note
    assert [row[0] for row in table.rows] == ["base", "lora", "word"]


def without_samples(result):
    *others, last = result.evaluation.checkpoints
    checkpoints = [*others, replace(last, per_sample={})]
    return replace(result, evaluation=replace(result.evaluation, checkpoints=checkpoints))


def test_losses_that_are_not_the_same_are_not_ranked():
    results = [
        replace(make_result(name, EVEN, [loss, loss]), loss_settings={"model.noise_offset": offset})
        for name, loss, offset in (("lora", 0.4, 0.0), ("word", 0.1, 0.1))
    ]
    settings = TableSettings("T", ["train_loss"], paper={"lora": 0.2, "word": 0.3})
    table = build_table(settings, results)
    assert "★" not in str(table.rows) + table.note
    assert "From low to high" not in table.note
    assert table.note.endswith(
        "The average training loss says nothing of which run is better, for these runs differ in "
        "`model.noise_offset` (0.0 and 0.1), and so it is not the same loss."
    )
