import pytest

from sdtune.run_folder.recipe_changes import recipe_changes, refusals

BEFORE = {
    "model": "LoRAStyleModule",
    "model.base": "nano",
    "model.rank": 4,
    "model.learning_rate": 1e-3,
    "model.target_modules": ("to_q", "to_k"),
    "data.folder": "pictures",
    "trainer.max_steps": 100,
    "trainer.devices": 1,
}


def changed(**now):
    return recipe_changes(BEFORE, BEFORE | {key.replace("__", "."): now[key] for key in now})


def test_equal_recipes_have_no_differences_however_they_are_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    same = {"model__target_modules": ["to_q", "to_k"], "data__folder": str(tmp_path / "pictures")}
    assert changed(**same) == []


def test_what_one_version_alone_knows_is_no_difference():
    assert recipe_changes(BEFORE, BEFORE | {"model.newer": 1}) == []
    assert recipe_changes(BEFORE | {"model.older": 1}, BEFORE) == []


@pytest.mark.parametrize(
    "now", [{"trainer__max_steps": 200}, {"trainer__devices": 2}, {"model__base": "moved/nano"}]
)
def test_what_may_change(now):
    (change,) = changed(**now)
    assert refusals([change], 50, rates_follow=False) == []


def test_a_step_may_be_shared_out_over_other_processes():
    before = {**BEFORE, "data.batch_size": 4}
    for devices, size, count in ((2, 2, 0), (4, 1, 0), (2, 4, 0), (1, 2, 1), (2, 1, 1)):
        changes = recipe_changes(before, before | {"trainer.devices": devices} | sized(size))
        assert len(refusals(changes, 50, rates_follow=False)) == count, (devices, size)
    strange = recipe_changes(before | {"trainer.devices": "x"}, before | sized(2))
    assert len(refusals(strange, 50, rates_follow=False)) == 1


def sized(batch_size):
    return {"data.batch_size": batch_size}


def test_all_that_cannot_change_is_listed_with_its_reason():
    problems = refusals(changed(model__rank=8, data__folder="others"), 50, rates_follow=True)
    assert problems == [
        "Expected `data.folder` to stay `pictures` after step 50, but got `others`: the run would "
        "go on with other data than it began with. Give it back, or start a new run.",
        "Expected `model.rank` to stay `4` after step 50, but got `8`: what has been learned was "
        "learned with it. Give it back, or start a new run.",
    ]


@pytest.mark.parametrize("rates", [(None, 1e-3), (1e-3, None)])
@pytest.mark.parametrize("rates_follow", [True, False])
def test_a_rate_may_not_appear_or_vanish(rates, rates_follow):
    key = "model.text_encoder_learning_rate"
    changes = recipe_changes({key: rates[0]}, {key: rates[1]})
    (problem,) = refusals(changes, 50, rates_follow)
    assert problem.startswith(f"Expected `{key}` to stay `{'null' if rates[0] is None else 0.001}`")
    assert "cannot begin or end within a run" in problem


def test_rates_may_change_where_a_schedule_sets_them_anew():
    changes = changed(model__learning_rate=5e-4)
    assert refusals(changes, 50, rates_follow=True) == []
    (problem,) = refusals(changes, 50, rates_follow=False)
    assert "this optimizer's state holds its rates" in problem
    assert str(changes[0]) == "`model.learning_rate` `0.001` -> `0.0005`"
