import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from io import BytesIO, TextIOWrapper
from types import SimpleNamespace

import pytest

import sdtune
from sdtune import cli
from sdtune.files.printable_text import show

HELP = {
    "sdtune --help": "from sdtune.cli import main; main(['--help'])",
    "lightning --help": "from sdtune.cli import lightning_main as main; main(['--help'])",
    "lightning run --help": "from sdtune.cli import lightning_main as main; main(['run', '-h'])",
}


@pytest.mark.parametrize("command", HELP)
def test_help_answers_within_a_second(command):
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", HELP[command]], capture_output=True, text=True, check=True
        )
        seconds.append(time.perf_counter() - start)
        assert done.stdout.startswith("usage: ")
    assert min(seconds) < 1.0


def test_help_of_commands_loads_no_torch():
    names = [name for name in cli.COMMANDS if name != "fit"]
    code = f"""
import sys
from sdtune.cli import main
for name in {names!r}:
    try:
        main([name, "--help"])
    except SystemExit:
        pass
    if "torch" in sys.modules:
        sys.exit(name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("usage: ") == len(names)


def test_every_command_has_its_file():
    for name in cli.COMMANDS:
        assert find_spec(f"sdtune.commands.{name.replace('-', '_')}") is not None


def test_help_lists_every_command(capsys):
    assert cli.main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(f"  {name} " in printed for name in cli.COMMANDS)
    assert "`watch` and `play`, which only a signal ends, end\nwith 0." in printed


def test_no_command_says_what_to_do_first(capsys):
    assert cli.main([]) == 0
    said = capsys.readouterr().out
    assert said.startswith("usage: sdtune")
    assert "\n  lightning run recipes/style_lora.yaml " in said
    assert all(f"\n  {name} " in said for name in cli.COMMANDS)


def test_help_imports_nothing_heavy():
    """It answers in the time that Python needs to start."""
    code = "import sys; from sdtune.cli import main; main(['--help']); print(len(sys.modules))"
    code += "; print({'torch', 'lightning', 'jsonargparse', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *_, modules, heavy = done.stdout.splitlines()
    assert heavy == "set()"
    assert int(modules) < 200


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"sdtune {sdtune.__version__}\n"


def test_an_unknown_command_names_the_nearest(capsys):
    assert cli.main(["fti"]) == 2
    assert capsys.readouterr().err == (
        "sdtune: Expected a command, but got `fti`; did you mean `fit`?\n"
    )


def test_run_is_fit_with_a_recipe(monkeypatch):
    calls = []
    monkeypatch.setattr(cli, "_run", lambda *call: calls.append(call) or 0)
    assert cli.lightning_main(["run", "recipe.yaml", "--seed", "3"]) == 0
    assert calls == [("fit", ["--config", "recipe.yaml", "--seed", "3"])]


@pytest.mark.parametrize("arguments", [["run"], ["run", "--seed", "3"]])
def test_run_without_a_recipe_shows_the_help_and_is_wrong(arguments, capsys):
    assert cli.lightning_main(arguments) == 2
    assert capsys.readouterr().err.startswith("usage: lightning run RECIPE.yaml")


def test_other_calls_need_lightning_sdk(capsys, monkeypatch):
    def not_installed(name):
        raise cli.PackageNotFoundError(name)

    monkeypatch.setattr(cli, "distribution", not_installed)
    assert cli.lightning_main(["login"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_other_calls_are_handed_to_lightning_sdk(monkeypatch):
    command = SimpleNamespace(load=lambda: lambda: None)
    scripts = SimpleNamespace(select=lambda group: {"lightning": command})
    monkeypatch.setattr(cli, "distribution", lambda name: SimpleNamespace(entry_points=scripts))
    assert cli.lightning_main(["login"]) == 0


@pytest.mark.parametrize(
    ("error", "code", "printed"),
    [
        (ValueError("Expected a."), 1, "sdtune: Expected a.\n"),
        (cli.CallError(["Expected b."]), 2, "sdtune: Expected b.\n"),
        (cli.CallError(["a\x1b[2Jb"]), 2, "sdtune: a\\x1b[2Jb\n"),
        (cli.CallError(["a\n  - b"]), 2, "sdtune: a - b\n"),
        (
            cli.CallError([f"a `{'x' * 9999}`, but b."]),
            2,
            f"sdtune: a `{'x' * 1197} … {'x' * 291}`, but b.",
        ),
        (KeyError("c"), 1, "sdtune: The run failed with KeyError: 'c' (SDTUNE_TRACEBACK=1"),
    ],
)
def test_errors_become_a_sentence_and_an_exit_code(error, code, printed, capsys, monkeypatch):
    def fail(*_):
        raise error

    monkeypatch.setattr(cli, "_run", fail)
    assert cli.main(["fit"]) == code
    assert capsys.readouterr().err.startswith(printed)


@pytest.mark.parametrize("command", [cli.main, cli.lightning_main])
def test_what_a_terminal_cannot_show_fails_no_command(command, monkeypatch):
    """Output that is redirected is of cp1252 on Windows."""
    output = BytesIO()
    monkeypatch.setattr(sys, "stdout", TextIOWrapper(output, encoding="cp1252"))
    monkeypatch.setattr(cli, "_run", lambda *_: show("é ↑") or 0)
    assert command(["run", "recipe.yaml"]) == 0
    assert output.getvalue().decode("cp1252").split() == ["é", "\\u2191"]


@pytest.mark.parametrize("words", ["--help", "recipes"])
def test_nothing_is_said_to_a_reader_that_has_gone(words):
    code = "import sys; from sdtune.cli import main; sys.exit(main(sys.argv[1:]))"
    reader, writer = os.pipe()
    os.close(reader)
    call = [sys.executable, "-c", code, *words.split()]
    done = subprocess.run(call, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")
