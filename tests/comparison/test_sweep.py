import pytest

from sdtune._checks import ArgumentsError
from sdtune.comparison.settings import Comparison, Variant
from sdtune.comparison.sweep import read_sweep, sweep_runs


def test_a_grid_is_every_value_with_every_other():
    grid = read_sweep(" model.rank=4,16; model.learning_rate = 1e-4 , 5e-4;")
    assert grid == {"model.rank": ["4", "16"], "model.learning_rate": ["1e-4", "5e-4"]}
    runs = sweep_runs(["recipes/style.yaml"], grid)
    assert list(runs) == [
        "style_rank_4_learning_rate_1e-4",
        "style_rank_4_learning_rate_5e-4",
        "style_rank_16_learning_rate_1e-4",
        "style_rank_16_learning_rate_5e-4",
    ]
    assert runs["style_rank_16_learning_rate_1e-4"] == Variant(
        "recipes/style.yaml",
        "rank 16, learning_rate 1e-4",
        overrides={"model.rank": "16", "model.learning_rate": "1e-4"},
    )
    Comparison(title="t", runs=runs)  # the names are folders'


def test_several_recipes_are_run_at_all_points():
    runs = sweep_runs(["a.yaml", "b.yaml"], {"seed": ["1", "2"]})
    assert [run.label for run in runs.values()] == [
        *("a, seed 1", "a, seed 2", "b, seed 1", "b, seed 2")
    ]
    assert [run.recipe for run in runs.values()] == ["a.yaml", "a.yaml", "b.yaml", "b.yaml"]


def test_commas_in_brackets_and_quotes_are_of_the_value():
    grid = read_sweep("""model.target_modules=[to_q,to_v],all;data.trigger="a, b; c",'d'""")
    assert grid == {
        "model.target_modules": ["[to_q,to_v]", "all"],
        "data.trigger": ['"a, b; c"', "'d'"],
    }
    runs = sweep_runs(["a.yaml"], grid)
    assert len(runs) == 4
    Comparison(title="t", runs=runs)


def test_there_are_as_many_runs_as_points():
    grid = {"data.trigger": ["ink style", "ink_style", "ink  style"], "seed": ["1", "2"]}
    runs = sweep_runs(["a.yaml"], grid)
    assert len(runs) == 6
    assert len({tuple(run.overrides.values()) for run in runs.values()}) == 6
    assert runs["a_trigger_ink_style_seed_1"].overrides["data.trigger"] == "ink_style"
    Comparison(title="t", runs=runs)


def test_names_are_folders_that_a_larger_grid_knows_again():
    few = sweep_runs(["a.yaml"], {"data.folder": ["x/y", "x y", "x" * 300]})
    more = sweep_runs(["a.yaml"], {"data.folder": ["w", "x" * 300, "x y", "x/y"]})
    assert len(few) == 3
    assert set(few) < set(more)
    assert max(map(len, few)) < 100
    Comparison(title="t", runs=more)
    both = sweep_runs(["a.yaml"], {"model.seed": ["1"], "data.seed": ["2"]})
    assert list(both) == ["a_model.seed_1_data.seed_2"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "Expected `--sweep` to be such as"),
        (" ; ", "Expected `--sweep` to be such as"),
        ("model.rank", "but got `model.rank`."),
        ("=4", "but got `=4`."),
        ("model.rank=4,", "but got `model.rank=4,`."),
        ("model.rank=", "but got `model.rank=`."),
        ("rank=4", "keys of the model, the data or the trainer, or `seed`, but got `rank`."),
        ("trainer.default_root_dir=a", "but got `trainer.default_root_dir`."),
        ("run=a", "but got `run`."),
        ("seed=1;seed=2", "to name each key once, but got `seed` again."),
        ("model.init_args.rank=1;model.rank=3", "each key once, but got `model.rank` again."),
        ("seed=1,2,1", "different values of `seed` in `--sweep`, but got 1,2,1."),
        ("model.learning_rate=1e-3,0.001", "different values of `model.learning_rate`"),
        ("data.flip=true,True", "different values of `data.flip`"),
        (f"seed={','.join(map(str, range(1_001)))}", "at most 1,000 runs, but got 1,001"),
    ],
)
def test_a_wrong_sweep_is_one_sentence(text, problem):
    with pytest.raises(ArgumentsError) as caught:
        read_sweep(text)
    [found] = caught.value.problems
    assert problem in found
