import pytest
import yaml

from sdtune.comparison.departures import departure
from sdtune.comparison.planning import PlannedRun
from sdtune.run_folder.recipe_changes import Change
from sdtune.run_folder.resumes import note_resume
from tests.comparison.runs import make_evaluation


@pytest.fixture
def plan(tmp_path):
    return PlannedRun("a", "a.yaml", {}, ("--trainer.max_steps=2",), "0123", tmp_path)


def test_a_run_as_planned_is_none(plan):
    assert departure(plan) is None  # not begun
    plan.folder.mkdir(parents=True)
    note_resume(plan.folder, 1, [])
    note_resume(plan.folder, 1, [Change("trainer.devices", 2, 1)])
    make_evaluation([1.0] * 4).save(plan.folder / "evaluation.json")  # of step 2
    assert departure(plan) is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (Change("model.learning_rate", 0.001, 0.5), "from step 2 on model.learning_rate 0.001 → "),
        (Change("trainer.max_steps", 2, 4), "from step 2 on trainer.max_steps 2 → 4; move"),
    ],
)
def test_a_run_that_went_on_otherwise_is_named_with_what_is_other(plan, change, told):
    plan.folder.mkdir(parents=True)
    note_resume(plan.folder, 2, [change])
    found = departure(plan)
    assert found.startswith(f"Expected the run `a` in {plan.folder} to be what is compared here")
    assert told in found


def test_a_record_beyond_the_budget_is_another_run(plan, tmp_path):
    for words in (("--trainer.max_steps=1",), ("--trainer.max_steps", "1")):
        beyond = PlannedRun("a", "a.yaml", {}, words, "0123", tmp_path)
        beyond.folder.mkdir(parents=True, exist_ok=True)
        make_evaluation([1.0] * 4).save(beyond.folder / "evaluation.json")
        assert "it took 2 steps of 1; move" in departure(beyond)
    assert departure(PlannedRun("a", "a.yaml", {}, (), "0123", tmp_path)) is None


def write_start(plan, name, max_time="00:00:01:00", prompts=("a cat",), **more):
    arguments = {"prompts": [*prompts], "seeds": [0, 1], **more}
    callbacks = [{"class_path": "sdtune.EvaluationCallback", "init_args": arguments}]
    callbacks += [{"class_path": "sdtune.Progress"}] if "cache_dir" in more else []
    recipe = {"trainer": {"max_time": max_time, "callbacks": callbacks}}
    plan.folder.mkdir(parents=True, exist_ok=True)
    (plan.folder / name).write_text(yaml.safe_dump(recipe), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"max_time": None}, "by its config_2.yaml trainer.max_time '00:00:01:00' → None; move"),
        ({"prompts": ["a dog"]}, "config_2.yaml prompts of its evaluation ['a cat'] → ['a dog']"),
        ({"seeds": [3]}, "config_2.yaml seeds of its evaluation [0, 1] → [3]; move"),
    ],
)
def test_a_start_with_another_end_or_evaluation_is_told_of(plan, change, told):
    write_start(plan, "config.yaml")
    write_start(plan, "config_2.yaml", **change)
    write_start(plan, "config_10.yaml")
    assert told in departure(plan)


def test_starts_that_end_and_score_alike_are_the_planned_run(plan):
    write_start(plan, "config.yaml")
    write_start(plan, "config_2.yaml", cache_dir="elsewhere", every_n_steps=5)
    (plan.folder / "config_3.yaml").write_text("[", encoding="utf-8")
    without = "trainer: {max_time: '00:00:01:00', callbacks: null}"
    (plan.folder / "config_4.yaml").write_text(without, encoding="utf-8")
    (plan.folder / "config_old.yaml").write_text("trainer: {max_time: 3}", encoding="utf-8")
    assert departure(plan) is None


def test_damaged_notes_are_told_of(plan):
    plan.folder.mkdir(parents=True)
    (plan.folder / "resumes.json").write_text("{", encoding="utf-8")
    assert "its resumes.json is damaged" in departure(plan)
