import importlib.metadata

import pytest

from sdtune.cli import main
from sdtune.commands import packages
from sdtune.commands.packages import package_problems


@pytest.fixture
def declared(monkeypatch):
    """Let sdtune declare other requirements than its own."""

    def declare(*lines):
        monkeypatch.setattr(packages, "requires", lambda distribution: list(lines))

    return declare


def test_the_installed_packages_are_those_that_sdtune_declares():
    known = [
        each
        for each in package_problems()
        if "transformers" not in each  # a developer may look at a release that is left out by name
    ]
    assert known == []


def test_each_missing_or_unfit_package_is_a_sentence_that_says_what_to_type(declared):
    declared("torch>=99", "no-such-package>=1", "numpy>=1", 'ray>=99; extra == "ray"')
    installed = importlib.metadata.version("torch")
    assert package_problems() == [
        f'Expected `torch>=99`, but torch {installed} is installed: pip install "torch>=99", or '
        "all that is known to work with `pip install -c constraints.txt sdtune`.",
        "Expected `no-such-package>=1` to be installed, but it is not: "
        'pip install "no-such-package>=1".',
    ]


def test_a_release_that_is_left_out_by_name_is_told(declared):
    installed = importlib.metadata.version("packaging")
    declared(f"packaging>=1,!={installed}")
    assert f"packaging {installed} is installed" in package_problems()[0]


def test_a_checkout_that_is_not_installed_is_not_judged():
    assert package_problems("no-such-distribution") == []


@pytest.mark.parametrize("command", ["fit", "check"])
def test_a_command_ends_with_exit_code_2_and_without_a_run_folder(
    command, declared, tmp_path, monkeypatch, capsys
):
    declared("no-such-package>=1")
    monkeypatch.chdir(tmp_path)
    assert main([command, "--config", "recipe.yaml"]) == 2
    assert capsys.readouterr().err.startswith("sdtune: Expected `no-such-package>=1`")
    assert list(tmp_path.iterdir()) == []
