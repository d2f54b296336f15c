from dataclasses import replace

import pytest

from sdtune.report.run import read_run
from tests.report.run_folder import PROMPTS, make_evaluation


def test_everything_in_the_folder_is_read(whole_run):
    run = read_run(whole_run)
    assert run.problems == []
    assert (run.name, run.technique) == ("style_lora/version_0", "LoRAStyleModule")
    assert (run.max_steps, run.last_step, run.is_finished) == (400, 400, True)
    assert (run.shown.label, run.untuned.label) == ("step_000400", "base")
    assert run.samples.prompts == PROMPTS
    assert [row.label for row in run.samples.rows] == ["base", "step 200", "step 400"]
    assert list(run.picture_losses) == [f"disc_{n}.png" for n in range(4)]


def test_an_empty_folder_is_an_unfinished_run(tmp_path):
    run = read_run(tmp_path)
    assert (run.is_finished, run.last_step, run.max_steps, run.shown) == (False, 0, None, None)
    assert (run.technique, run.base, run.data_folder) == ("", "", None)


def test_without_scores_the_recipe_says_what_was_run(tmp_path):
    (tmp_path / "config.yaml").write_text("trainer: {max_steps: 5}", encoding="utf-8")
    (tmp_path / "config_2.yaml").write_text(
        "model: {class_path: sdtune.DreamBoothModule, init_args: {base: nano}}\n"
        "data: {class_path: sdtune.SubjectDataModule, init_args: {instance_dir: cats}}\n"
        "trainer: {max_steps: 9}",
        encoding="utf-8",
    )
    run = read_run(tmp_path)  # as its latest start was
    assert (run.technique, run.base, run.max_steps) == ("DreamBoothModule", "nano", 9)
    assert str(run.data_folder) == "cats"


def test_what_cannot_be_read_is_said_and_the_rest_is_shown(tmp_path):
    (tmp_path / "config.yaml").write_text("a: [", encoding="utf-8")
    (tmp_path / "evaluation.json").write_text("{}", encoding="utf-8")
    (tmp_path / "picture_losses.json").write_text('{"pictures": {"a": {}}}', encoding="utf-8")
    (tmp_path / "samples" / "rows").mkdir(parents=True)
    (tmp_path / "samples" / "rows" / "step_000001.png").write_bytes(b"cut off")
    run = read_run(tmp_path)
    assert len(run.problems) == 4
    for problem, file in zip(
        run.problems,
        ("config.yaml is not YAML", "evaluation.json", "samples cannot", "losses.json cannot"),
        strict=True,
    ):
        assert file in problem


def test_the_last_checkpoint_is_shown_where_none_is_the_best(tmp_path):
    evaluation = make_evaluation(tmp_path)
    best = replace(evaluation.best, label=None)
    replace(evaluation, best=best, finished=False).save(tmp_path / "evaluation.json")
    run = read_run(tmp_path)
    assert (run.shown.label, run.is_finished) == ("step_000400", False)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Expected a run folder at .*gone"):
        read_run(tmp_path / "gone")
