"""The commands `sdtune` and `lightning`: a table, and what becomes of errors.

Nothing heavy is imported until a command is chosen, so that help answers at once.
"""

import logging
import os
import re
import select
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution

import sdtune
from sdtune.commands.early_signals import Ended, ended_by_signals_early
from sdtune.commands.errors import CallError, nearest
from sdtune.commands.quick_imports import quick_imports
from sdtune.files.line_list import cut_list
from sdtune.files.printable_text import PrintableRecord, escape_unprintable, show

__all__ = ["COMMANDS", "lightning_main", "main"]

COMMANDS = {
    "fit": "train by a recipe: sdtune fit --config RECIPE.yaml [--key value ...]",
    "watch": "a run's report in the browser, live while it trains: sdtune watch [RUN]",
    "generate": 'draw pictures with adapters: sdtune generate RUN --prompt "a cat"',
    "play": "the same in the browser, strength by a slider: sdtune play RUN",
    "compare": "several recipes or settings, one budget, one table: sdtune compare RECIPE.yaml ...",
    "evaluate": "score any adapter, or a run, against its base: sdtune evaluate ADAPTER ...",
    "report": "write the page of a run, or of several: sdtune report RUN [RUN ...]",
    "inspect": "what an adapter is: format, base, ranks, words, record: sdtune inspect ADAPTER",
    "convert": "another file format: sdtune convert ADAPTER --to kohya --output FOLDER",
    "merge": "adapters into one, or into their base: sdtune merge ADAPTER ADAPTER ...",
    "resize": "a LoRA of a lower rank: sdtune resize ADAPTER --rank 8 --output FOLDER",
    "extract": "a LoRA from the difference of two bases: sdtune extract BASE TUNED ...",
    "reproduce": "train an adapter again by its record, and compare: sdtune reproduce ADAPTER ...",
    "cache": "what is kept between runs: sdtune cache info, clear, or fill RECIPE.yaml",
    "caption": "write captions beside pictures that have none: sdtune caption FOLDER",
    "bench": "what training costs here, beside a plain loop: sdtune bench --base sd15",
    "estimate": "the memory and time that a recipe takes: sdtune estimate RECIPE.yaml --time",
    "check": "list all that is wrong with a recipe and its data: sdtune check RECIPE.yaml",
    "import-config": "a recipe from kohya's TOML: sdtune import-config train.toml --to recipe.yaml",
    "recipes": "those that come with sdtune: sdtune recipes, sdtune recipes copy NAME FOLDER",
    "publish": "a folder to upload to a hub: sdtune publish RUN --to FOLDER --license LICENCE",
}
"""The commands and what they do.

Each is `main(arguments)` in the file of its name, with `_` for `-`; or the function of its name
there, whose call is read by its signature and checked by the function `problems` if there is one.
"""

_FIRST = """\
usage: sdtune COMMAND [--help] [arguments ...]

Fine-tune Stable Diffusion to a style or a subject, and measure how well it went. To begin with:

  lightning run recipes/style_lora.yaml        # train: minutes, without GPU and network
  sdtune generate runs/style_lora/version_0    # draw with what was learned
  lightning run recipes/style_lora.yaml --data.folder my_pictures/

commands; `sdtune COMMAND --help` says more of each:
{commands}
"""

_HELP = """\
usage: sdtune COMMAND [--help] [arguments ...]

Fine-tune Stable Diffusion to a style or a subject, and measure how well it went.

commands:
{commands}

`lightning run RECIPE.yaml ...` is the same as `sdtune fit --config RECIPE.yaml ...`.
SDTUNE_TRACEBACK=1 shows where an error came from.
Exit codes: 0 done; 1 it failed; 2 the call or the data is wrong; 3 `reproduce` found a difference;
130, 143 ... stopped by a signal. The pages of `watch` and `play`, which only a signal ends, end
with 0.
"""

_RUN_HELP = """\
usage: lightning run RECIPE.yaml [--key value ...]

Train by a recipe. The same as: sdtune fit --config RECIPE.yaml [--key value ...]

  lightning run recipes/style_lora.yaml
  lightning run recipes/style_lora.yaml --data.folder photos/ --model.rank 8 --seed 1
  lightning run recipes/style_lora.yaml --resume

--model.KEY, --data.KEY   an argument of the recipe's model or data module
--trainer.KEY             an argument of Lightning's Trainer: max_steps, devices, precision ...
--seed N                  seed of everything random (default: 42)
--run NAME                name of the run's folder (default: the next version_N)
--trust MODULE            let the recipe name classes of a module of your own
--resume [PATH]           go on from a run folder's newest good checkpoint, or from a checkpoint
                          (default: the newest run); what the recipe may not change is refused
--print_config            print the resolved recipe and exit

Ctrl-C, SIGTERM, SIGUSR1 and SIGUSR2 (SLURM: `--signal=USR1@120`) end training after the step,
with a checkpoint of it; a second one ends it at once. Exit codes: 0 done; 1 the run failed; 2 the
call, the recipe or the data is wrong; 130, 143, 138 or 140 stopped by one of these signals.

`sdtune fit --help` lists every key of the Trainer,
`sdtune fit --model.help sdtune.LoRAStyleModule` those of a class.
"""

_BREAK = re.compile(r"\s*\n\s*")
_LONGEST, _END = 1500, 300  # characters of a sentence that are shown, and of its end

_SDK_HELP = """
Every other `lightning` command belongs to lightning-sdk, and is handed over if it is installed.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `sdtune`.

    Args:
        arguments: The command line after `sdtune`; by default the process's own.

    Returns:
        The exit code: 0 done, 1 the run failed, 2 the call or the data is wrong, and 128 and a
        signal's number if it was stopped by one.
    """
    escape_unprintable()
    words = sys.argv[1:] if arguments is None else list(arguments)
    return _exit_code(lambda: _main(words))


def _main(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        rows = "\n".join(f"  {name:15}{text}" for name, text in COMMANDS.items())
        if not arguments:
            print(_FIRST.format(commands=rows), end="")
            return 0
        print(_HELP.format(commands=rows), end="")
        return 0
    if arguments[0] == "--version":
        print(f"sdtune {sdtune.__version__}")
        return 0
    name, *rest = arguments
    return _run(name, rest)


def lightning_main(arguments: Sequence[str] | None = None) -> int:
    """Run `lightning run RECIPE.yaml`, and leave every other call to lightning-sdk.

    Args:
        arguments: The command line after `lightning`; by default the process's own.

    Returns:
        The exit code: 0 done, 1 the run failed, 2 the call or the data is wrong, and 128 and a
        signal's number if it was stopped by one.
    """
    escape_unprintable()
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments[:1] == ["run"]:
        if len(arguments) > 1 and not arguments[1].startswith("-"):
            return _exit_code(lambda: _run("fit", ["--config", *arguments[1:]]))
        asked = arguments[1:2] in (["-h"], ["--help"])
        print(_RUN_HELP, end="", file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    if arguments in (["-h"], ["--help"]):
        print(_RUN_HELP + _SDK_HELP, end="")
        return 0
    return _lightning_sdk()


def _run(name: str, arguments: Sequence[str]) -> int:
    if name not in COMMANDS:
        raise CallError([f"Expected a command, but got `{name}`{nearest(name, COMMANDS)}"])
    problems = import_module("sdtune.commands.packages").package_problems()
    problems = problems or import_module("sdtune.commands.missing_recipes").missing_recipes(
        name, arguments
    )
    if problems:
        raise CallError(problems)
    stem = name.replace("-", "_")
    with quick_imports():
        module = import_module(f"sdtune.commands.{stem}")
    if hasattr(module, "main"):
        code: int = module.main(arguments)
        return code
    read_call = import_module("sdtune.commands.call").read_call
    command = getattr(module, stem)
    check = getattr(module, "problems", None)
    return command(**read_call(command, f"sdtune {name}", arguments, check)) or 0


def _exit_code(command: Callable[[], int]) -> int:
    logging.setLogRecordFactory(PrintableRecord)
    try:
        with ended_by_signals_early():
            code = command()
            sys.stdout.flush()
            return code
    except (KeyboardInterrupt, Ended) as error:
        print("sdtune: stopped.", file=sys.stderr)
        return 128 + (error.number if isinstance(error, Ended) else signal.SIGINT)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _reader_is_gone():
            return 128 + signal.SIGPIPE
        if os.environ.get("SDTUNE_TRACEBACK", "0") not in ("", "0"):
            traceback.print_exc()
        problems = getattr(error, "problems", None)  # of a CallError or of the data's own
        if isinstance(problems, list):
            return _refuse(problems)
        show(f"sdtune: {_one_line(_sentence(error))}", file=sys.stderr)
        return 1


def _reader_is_gone() -> bool:
    """Tell whether nobody reads what is printed any more, such as `head`; then print nowhere."""
    if not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    is_gone = bool(poll.poll(0))  # an error is told of unasked
    if is_gone:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return is_gone


def _refuse(problems: Sequence[str]) -> int:
    if len(problems) == 1:
        show(f"sdtune: {_one_line(problems[0])}", file=sys.stderr)
    else:
        print(f"sdtune: {len(problems)} problems, and nothing was started:", file=sys.stderr)
        for problem in cut_list(problems):
            show(f"  - {_one_line(problem)}", file=sys.stderr)
    return 2


def _one_line(problem: str) -> str:
    """Put a sentence on one line, and cut what somebody may have filled a page with."""
    line = _BREAK.sub(" ", problem.strip())
    if len(line) <= _LONGEST:
        return line
    return f"{line[: _LONGEST - _END]} … {line[-_END:]}"


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        reason = f"{error.strerror[:1].lower()}{error.strerror[1:]}"
        return f"Expected to use {error.filename}, but {reason}."
    if isinstance(error, ValueError | OSError | ImportError):
        return str(error)
    kind = type(error).__name__
    return f"The run failed with {kind}: {error} (SDTUNE_TRACEBACK=1 shows where)."


def _lightning_sdk() -> int:
    try:
        scripts = distribution("lightning-sdk").entry_points.select(group="console_scripts")
        command = scripts["lightning"].load()
    except (PackageNotFoundError, KeyError):
        print(
            "lightning: Expected `lightning run RECIPE.yaml`; every other command needs the "
            "package lightning-sdk, which is not installed.",
            file=sys.stderr,
        )
        return 2
    return int(command() or 0)
