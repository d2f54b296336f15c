import pytest

from sdtune.comparison.given_keys import last_given, plain_key, twice_given, words_of
from sdtune.comparison.settings import Comparison, Variant


def test_a_key_has_one_spelling():
    assert plain_key("model.init_args.rank") == plain_key("model.rank") == "model.rank"
    assert plain_key("trainer.callbacks.init_args.x") == "trainer.callbacks.x"
    words = ["--model.init_args.rank", "4", "--flag", "--model.rank=8", "--seed=3"]
    assert [*words_of(words)] == [
        *(("model.rank", "4"), ("flag", ""), ("model.rank", "8"), ("seed", "3"))
    ]
    assert last_given(words, "model.rank") == "8"
    assert last_given(words, "data.seed") is None


def found(own, words=(), is_sweep=False, **settings):
    runs = {"one": Variant("r", overrides=own), "two": Variant("r")}
    return twice_given(Comparison(title="t", runs=runs, **settings), words, is_sweep)


@pytest.mark.parametrize(
    ("overrides", "more", "key"),
    [
        ({"model.rank": 1}, {"words": ["--model.rank", "8"]}, "model.rank"),
        ({"model.init_args.rank": 1}, {"words": ["--model.rank=8"]}, "model.init_args.rank"),
        ({"model": {"init_args": {"rank": 1}}}, {"words": ["--model.rank=8"]}, "rank"),
        ({"model.rank": 1}, {"words": ["--model=m.yaml"]}, "model.rank"),
        ({"trainer.max_steps": 9}, {"budget_steps": 2}, "trainer.max_steps"),
        ({"trainer.max_time": "1"}, {"budget_minutes": 2}, "trainer.max_time"),
    ],
)
def test_what_a_run_and_the_call_give_is_refused(overrides, more, key):
    [problem] = found(overrides, **more)
    assert f"{key}` in `runs.one.overrides` alone, but the call or its budget gives" in problem
    [problem] = found(overrides, **more, is_sweep=True)
    assert "` in `--sweep` alone, but the call" in problem


def test_keys_that_only_begin_alike_and_those_of_all_runs_are_right():
    assert found({"model.rank": 1, "trainer.max_steps": 9}, ["--model.rank_x=8", "--seed=1"]) == []
    assert found({"model.rank": 1}, overrides={"model.rank": 2, "seed": 3}, budget_steps=2) == []
    assert found({}, ["--seed=1"], overrides={"seed": 3}) == []


def test_a_key_in_two_spellings_is_refused():
    both = {"model.rank": 1, "model.init_args.rank": 2}
    assert found(both) == [
        "Expected `runs.one.overrides` to name each key once, but got `model.rank` again."
    ]
    [problem] = found({}, overrides=both)
    assert problem.startswith("Expected `overrides` to name each key once")
