from collections.abc import Sequence
from pathlib import Path

import pytest

from sdtune.commands.call import read_call
from sdtune.commands.errors import CallError


def draw(
    pictures: list[Path],
    *,
    size: int,
    seeds: Sequence[int] = (0, 1),
    prompt: list[str] | None = None,
    output: Path | None = None,
) -> None:
    """Draw something.

      sdtune draw a.png

    Args:
        pictures: What to
            start from.
        size: Pixels.
        seeds: One for each picture.
        prompt: What to draw.
        output: Where it goes.
    """


def read(*words: str) -> dict:
    return read_call(draw, "sdtune draw", words)


def problems(*words: str) -> list[str]:
    with pytest.raises(CallError) as caught:
        read(*words)
    return caught.value.problems


@pytest.mark.parametrize(
    ("words", "given"),
    [
        (["a.png", "--size", "8"], {"pictures": [Path("a.png")], "size": 8}),
        (["a", "--size=8", "b"], {"pictures": [Path("a"), Path("b")], "size": 8}),
        (["--size=8", "--size=9", "a"], {"pictures": [Path("a")], "size": 9}),
        (["[a, b]", "--size=8"], {"pictures": [Path("a"), Path("b")], "size": 8}),
        (["a", "--size=8", "-o", "x"], {"output": Path("x")}),
        (["a", "--size=8", "--seeds", "3", "-1"], {"seeds": [3, -1]}),
        (["a", "--size=8", "--seeds=[3, 4]"], {"seeds": [3, 4]}),
        (["a", "--size=8", "--seeds=3", "--seeds", "4"], {"seeds": [3, 4]}),
        (["a", "--size=8", "--prompt", "a: b, c", "--prompt=1"], {"prompt": ["a: b, c", "1"]}),
    ],
)
def test_arguments_are_given_as_people_do(words, given):
    assert read(*words).items() >= given.items()


def test_what_is_not_given_is_left_to_the_signature():
    assert set(read("a", "--size=8")) == {"pictures", "size"}


def test_every_problem_is_listed():
    assert problems("--size=big", "--promt", "a cat", "--seeds", "x", "--output") == [
        "Expected a known option, but got `--promt`; did you mean `--prompt`?",
        "Expected `--output` to be given a value, but it has none.",
        "Expected `--size` to be int, but got `big`.",
        "Expected `--seeds` to be a list of int, but got `x`.",
        "Expected `pictures` to be given: sdtune draw PICTURE [PICTURE ...] --size SIZE "
        "[--option value ...]; `sdtune draw --help` says more.",
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--json", "a"], {"json": True, "file": "a"}),
        (["a", "--json"], {"json": True, "file": "a"}),
        (["--json", "false", "a"], {"json": False, "file": "a"}),
        (["--json=true", "a"], {"json": True, "file": "a"}),
    ],
)
def test_a_switch_needs_no_value(words, expected):
    def show(file: str, *, json: bool = False) -> None:
        """Show."""

    assert read_call(show, "sdtune show", words) == expected


def test_hyphens_are_taken_for_underscores():
    def compare(*, budget_steps: int) -> None:
        """Compare."""

    assert read_call(compare, "sdtune compare", ["--budget-steps", "3"]) == {"budget_steps": 3}
    with pytest.raises(CallError) as caught:
        read_call(compare, "sdtune compare", ["x", "--budget-steps", "3"])
    usage = "sdtune compare --budget_steps BUDGET_STEPS [--option value ...]"
    assert caught.value.problems == [f"Expected {usage}, but got `x`."]


def test_a_check_adds_its_problems_to_those_of_the_call():
    def check(pictures=(), **_):
        return [f"Expected a picture, but got `{each}`." for each in pictures]

    with pytest.raises(CallError) as caught:
        read_call(draw, "sdtune draw", ["a"], check)
    starts = [each.partition(" to be")[0] for each in caught.value.problems]
    assert starts == ["Expected a picture, but got `a`.", "Expected `--size`"][::-1]


def test_help_is_the_docstring(capsys):
    with pytest.raises(SystemExit) as stopped:
        read("--help")
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith("usage: sdtune draw PICTURE [PICTURE ...] --size SIZE")
    assert "\n  sdtune draw a.png\n" in printed
    assert "What to start from." in printed
    assert "One for each picture." in printed
