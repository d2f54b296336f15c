from argparse import ArgumentError

import pytest

from sdtune.commands.diagnosis import Setting, as_mapping, read_settings, refusals

TEXT = """\
trainer:
  max_steps: 3
  callbacks:
    - class_path: A
      init_args: {x: 1, y: [2]}
    - B
model:
  init_args: {rank: 4}
  class_path: C
"""


def settings_of(*words: str) -> list[Setting]:
    problems: list[str] = []
    found = read_settings(words, problems)
    assert problems == []
    return found


def test_a_call_is_taken_apart_in_its_order(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(TEXT, encoding="utf-8")
    found = settings_of("--seed", "3", "--config", str(path), "--model.rank=8", "--resume")
    assert [(each.key, each.value, each.owner) for each in found] == [
        (("seed",), "3", None),
        (("trainer", "max_steps"), 3, None),
        (("trainer", "callbacks", 0, "class_path"), "A", "A"),
        (("trainer", "callbacks", 0, "init_args", "x"), 1, "A"),
        (("trainer", "callbacks", 0, "init_args", "y"), [2], "A"),
        (("trainer", "callbacks", 1), "B", None),
        (("model", "class_path"), "C", "C"),
        (("model", "init_args", "rank"), 4, "C"),
        (("model", "rank"), "8", None),
        (("resume",), None, None),
    ]
    assert [each.word for each in found if each.file is None] == [
        "--seed=3",
        "--model.rank=8",
        "--resume",
    ]


def test_what_is_taken_apart_is_put_together_again_without_what_is_left_out():
    whole = settings_of(f"--config={TEXT}")
    assert as_mapping(whole) == {
        "trainer": {
            "max_steps": 3,
            "callbacks": [{"class_path": "A", "init_args": {"x": 1, "y": [2]}}, "B"],
        },
        "model": {"class_path": "C", "init_args": {"rank": 4}},
    }
    without = [each for each in whole if 0 not in each.key]
    assert as_mapping(without)["trainer"] == {"max_steps": 3, "callbacks": ["B"]}


def test_every_file_that_cannot_be_read_is_named(tmp_path):
    problems: list[str] = []
    assert read_settings(["--config", "no.yaml", "--config", "none.yaml"], problems) == []
    assert ["no.yaml" in problems[0], "none.yaml" in problems[1]] == [True, True]


@pytest.mark.parametrize("wrong", [[], [0], [3], [9], [0, 1, 2], [2, 5, 9], list(range(10))])
def test_each_setting_that_is_refused_is_found(wrong):
    calls = []

    def parse(settings):
        calls.append(len(settings))
        for each in settings:
            if each.value in wrong:
                raise ArgumentError(None, f"not {each.value}")
        return [each.value for each in settings]

    settings = [Setting((f"k{number}",), number) for number in range(10)]
    found = list(refusals(settings, parse))
    assert [(each.value, error) for each, _, error in found] == [(n, f"not {n}") for n in wrong]
    assert all(
        before == [n for n in range(each.value) if n not in wrong] for each, before, _ in found
    )
    assert [each.value for each in settings] == [n for n in range(10) if n not in wrong]
    assert len(calls) <= 1 + 6 * len(wrong)


def test_what_belongs_to_a_class_that_is_refused_goes_with_it():
    def parse(settings):
        if any(each.value == "Nope" for each in settings):
            raise ArgumentError(None, "no class")

    settings = settings_of("--model.class_path=Nope", "--model.rank=8", "--seed=1")
    [(wrong, _, _)] = refusals(settings, parse)
    assert wrong.key == ("model", "class_path")
    assert [each.key for each in settings] == [("seed",)]
