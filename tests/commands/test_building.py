"""All that is wrong with a call is listed at once, whatever its parts are."""

import pytest

from sdtune.commands.recipe_cli import recipe_problems
from tests.fast_part import some_fast

BAD = {
    "--model.rank=-4": "Expected `rank` to be a positive integer, but got -4.",
    "--model.learning_rate=much": "Expected `model.learning_rate` to be float",
    "--data.folder=nowhere": "nowhere: there is no such folder",
    "--data.batch_size=few": "Expected `data.batch_size` to be int",
    "--trainer.max_steps=x": "Expected `trainer.max_steps` to be int, but got 'x'.",
    "--trainer.precision=16-true": "Expected `trainer.precision` to be one of",
    "--trainer.strategy=dpd": "invalid strategy name: `strategy='dpd'`",
    "--trainer.profiler=smple": "value for the `profiler` parameter",
    "--trainer.callbacks+=StochasticWeightAveraging --trainer.callbacks.swa_lrs=1e-2": (
        "to hold no StochasticWeightAveraging"
    ),
    "--trainer.callbacks+=sdtune.ResumeCheckpoint --trainer.callbacks.every_n_steps=0": (
        "Expected `every_n_steps` to be a positive integer or None, but got 0."
    ),
    "--trainer.logger=CSVLogger": "Expected `trainer.logger.save_dir` to be given",
}
"""What is wrong by itself -> what is said of it."""

PARSED = ["--model.learning_rate=much", "--trainer.max_steps=x"]
"""Faults that the parser finds: what cannot be parsed is not built."""

KINDS = ("rank", "folder", "precision", "strategy", "every_n_steps")
BUILT = [each for each in BAD if any(f"{kind}=" in each for kind in KINDS)]
"""Faults that are found later: of model, data, Trainer, callback."""


def found(*overrides: str) -> list[str]:
    words = [word for each in overrides for word in each.split(" ")]
    return recipe_problems(["--config", "style.yaml", "--trainer.accelerator=cpu", *words])


@pytest.fixture(autouse=True)
def _here(short_style: str) -> None:
    """In the folder of the recipe."""


def is_said(sentence: str, problems: list[str]) -> bool:
    return any(sentence in problem for problem in problems)


@pytest.mark.parametrize("override", some_fast(BAD, [*BUILT[::2], PARSED[1]]))
def test_one_fault_is_one_sentence(override: str) -> None:
    problems = found(override)
    assert len(problems) == 1
    assert is_said(BAD[override], problems)


@pytest.mark.slow
@pytest.mark.parametrize("first", PARSED)
def test_what_the_parser_finds_is_listed_with_any_other(first: str) -> None:
    for second in [each for each in (*BUILT, PARSED[1]) if each != first]:
        if first.startswith("--model") and second.startswith("--model"):
            continue  # what cannot be parsed is not built
        assert_listed(first, second)


@pytest.mark.slow
def test_what_is_found_later_is_listed_without_anything_of_the_parser() -> None:
    assert_listed(*BUILT)
    assert_listed(*BUILT[:2])
    assert_listed(*BUILT[-2:])


def assert_listed(*overrides: str) -> None:
    problems = found(*overrides)
    assert len(problems) == len(overrides)
    assert [each for each in overrides if not is_said(BAD[each], problems)] == []


def test_all_faults_are_listed_together() -> None:
    every = [each for each in BAD if "learning_rate" not in each and "batch_size" not in each]
    assert_listed(*every)


def test_nothing_is_said_of_an_end_that_is_refused() -> None:
    words = ("--trainer.max_epochs=-1", "--model.lr_schedule=cosine")
    [endless] = found("--trainer.max_steps=-1", *words)
    assert "where `lr_schedule` `cosine` ends" in endless
    [refused] = found("--trainer.max_steps=x", *words)
    assert "`trainer.max_steps` to be int" in refused


def test_nothing_is_said_of_what_was_meant_for_a_refused_accelerator() -> None:
    accelerator = "--trainer.accelerator=none"
    [refused] = found(accelerator, "--trainer.devices=-1", "--trainer.strategy=fsdp")
    assert "invalid accelerator name" in refused
