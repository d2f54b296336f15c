import pytest
import yaml

from sdtune.commands.recipe_cli import recipe_problems

TOY = "tests.commands.toys.Toy"


def problems_in(tmp_path, content: dict, build: bool = True) -> list[str]:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return recipe_problems(["--config", str(path)], build=build)


def problems_of(recipe: str, *overrides: str, build: bool = True) -> list[str]:
    return recipe_problems(["--config", recipe, *overrides], build=build)


def test_a_good_recipe_has_none(recipe):
    assert problems_of(recipe) == []


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("--model.rnak=8", "Expected a known key of Toy, but got `model.rnak`; did you mean"),
        ("--rank=8", "Expected a known key, but got `rank`; did you mean `model.rank`?"),
        ("--modle.rank=8", "but got `modle.rank`; did you mean `model.rank`?"),
        ("--trainer.max_step=8", "but got `trainer.max_step`; did you mean `trainer.max_steps`?"),
        ("--model.rank=four", "Expected `model.rank` to be int, but got 'four'."),
        ("--model.fail_at=x", "Expected `model.fail_at` to be int or null, but got 'x'."),
        (
            "--model.optimizer=adam",
            "Expected `model.optimizer` to be one of 'adamw', 'sgd', but got 'adam'; did you mean "
            "`adamw`?",
        ),
        (
            "--model=tests.commands.toys.Toyy",
            "Expected `model` to name a class, but got `tests.commands.toys.Toyy`",
        ),
        ("--model=sdtune.LoRAStyelModule", "did you mean `sdtune.LoRAStyleModule`?"),
        ("--model=LoRAStyelModule", "did you mean `sdtune.LoRAStyleModule`?"),
        ("--model=tests.commands.toys.ToyData", "Expected `model` to be a LightningModule"),
        ("--model.rank=0", "Expected `rank` to be a positive integer, but got 0."),
        ("--seed=-1", "Expected `seed` to be an integer from 0 to 4294967295, but got '-1'."),
        ("--seed=4294967296", "Expected `seed` to be an integer from 0 to 4294967295, but got"),
        (
            "--config=seed: null",
            "Expected `seed` to be an integer from 0 to 4294967295, but got None.",
        ),
        ("--model.rank", "Expected `--model.rank` to be given a value, but it has none."),
        (
            "--trainer.callbacks=[{class_path: tests.commands.toys.Last, init_args: {every_n: 1}}]",
            "Expected a known key of Last, but got `trainer.callbacks.Last.every_n`; did you mean",
        ),
        ("--trainer.callbacks=[{class_path: Timer}, {class_path: Tmer}]", "mean `Timer`?"),
        ("--config=tooy.yaml", "Expected a recipe file, but got `tooy.yaml`, which does not"),
        (
            "--trainer.callbacks+=EarlyStopping",
            "Expected `trainer.callbacks.EarlyStopping.m",
        ),
        ("--trainer.callbacks+=sdtune.SampleGird", "did you mean `sdtune.SampleGrid`?"),
    ],
)
def test_one_problem_is_one_sentence(recipe, override, problem):
    [found] = problems_of(recipe, override)
    assert problem in found
    assert "\n" not in found


def test_every_problem_is_listed_at_once(recipe):
    found = problems_of(recipe, "--model.rank=0", "--data.folder=nowhere", "--trainer.max_steps=x")
    assert found == [
        "Expected `trainer.max_steps` to be int, but got 'x'.",
        "Expected `rank` to be a positive integer, but got 0.",
        "nowhere: no such folder; name one with `data.folder`.",
        "captions: none; write one beside each picture.",
    ]


def test_a_key_that_each_of_several_things_has_is_told_with_where_it_stands(tmp_path):
    data = {
        "class_path": "sdtune.ConceptsDataModule",
        "init_args": {"concepts": [{"instance_dir": "photos"}], "class_noun": "robot"},
    }
    model = {"class_path": "sdtune.MultiConceptModule"}
    assert problems_in(tmp_path, {"model": model, "data": data}, build=False) == [
        "Expected a known key of ConceptsDataModule, but got `data.class_noun`: each of the list "
        "`data.concepts` has a `class_noun` of its own."
    ]


def test_without_building_only_keys_and_types_are_checked(recipe):
    assert problems_of(recipe, "--model.rank=0", "--data.folder=nowhere", build=False) == []


def test_callbacks_are_checked_by_their_class(tmp_path):
    callback = {"class_path": "tests.commands.toys.Last", "init_args": {"every_n_step": 1}}
    found = problems_in(tmp_path, {"trainer": {"callbacks": [callback]}})
    assert found[0] == (
        "Expected a known key of Last, but got `trainer.callbacks.Last.every_n_step`; did you mean "
        "`trainer.callbacks.Last.every_n_steps`?"
    )
    callback["init_args"] = {"every_n_steps": 0}
    found = problems_in(tmp_path, {"trainer": {"callbacks": [callback]}})
    assert any("`every_n_steps` to be positive" in each for each in found)


def test_a_missing_class_or_argument_is_named(tmp_path):
    assert problems_in(tmp_path, {"model": {"class_path": TOY}, "data": {}}) == [
        "Expected `data` to name a class: give `data.class_path` and its `init_args`."
    ]
    data = {"class_path": "tests.commands.toys.ToyData"}
    assert problems_in(tmp_path, {"model": {"class_path": TOY}, "data": data}) == [
        "Expected `data.folder` to be given, but it is missing."
    ]


def test_an_argument_beside_init_args_is_named(tmp_path):
    model = {"class_path": TOY, "rank": 8}
    [found] = problems_in(
        tmp_path, {"model": model, "data": {"class_path": TOY + "Data"}}, build=False
    )[:1]
    assert found == "Expected `rank` to stand below `model.init_args`, but got `model.rank`."


def test_another_class_keeps_the_arguments_that_it_knows(recipe):
    other = "--model=tests.commands.toys.OtherToy"
    assert problems_of(recipe, "--model.optimizer=sgd", other, "--model.momentum=0.5") == []


def test_numbers_may_be_written_as_yaml_reads_them(recipe):
    assert problems_of(recipe, "--model.learning_rate=1e-4") == []


def test_vocabulary_and_class_prompt_are_checked_among_the_rest(micro_sd, tmp_path):
    data = {
        "class_path": "sdtune.SubjectDataModule",
        "init_args": {"instance_dir": str(tmp_path), "instance_prompt": "a cat"},
    }
    word = {"base": str(micro_sd), "placeholder_token": "<|endoftext|>", "initializer_token": "cat"}
    model = {"class_path": "sdtune.TextualInversionModule", "init_args": {**word, "base": "nano"}}
    found = problems_in(tmp_path, {"seed": "x", "model": model, "data": data})
    assert [problem.partition(" to be")[0] for problem in found[:2]] == [
        "Expected `seed`",
        "Expected `placeholder_token`",
    ]
    model["init_args"] = word  # its tokenizer knows single letters
    found = problems_in(tmp_path, {"model": model, "data": data})
    assert len(found) == 3
    assert "`<|endoftext|>` is in the vocabulary already" in found[0]
    assert "`initializer_token` to be 1 token" in found[1]
    assert "holds no pictures" in found[2]
    model = {"class_path": "sdtune.DreamBoothModule", "init_args": {"base": "nano"}}
    found = problems_in(tmp_path, {"model": model, "data": data})
    assert len(found) == 2
    assert "holds no pictures" in found[0]
    assert "Expected `data.class_prompt` or `data.class_dir` to be given" in found[1]
