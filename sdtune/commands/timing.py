"""How long a recipe's whole run takes here, by its first steps: `sdtune estimate RECIPE --time`."""

import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sdtune.bench.captured_process import run_captured
from sdtune.commands.errors import CallError
from sdtune.files.json_file import write_json
from sdtune.files.printable_text import escape_unprintable
from sdtune.files.text_file import parse_json_text, read_text

__all__ = ["main", "time_run"]

_BEGUN = "SDTUNE_BENCH_BEGUN"
_FOUND = "found.json"


def time_run(words: Sequence[str]) -> list[str]:
    """Start a recipe twice, each time in a process of its own, and take its first steps once.

    The first start ends before the first step: what it computes of the pictures and of the base is
    in the cache then, where the run finds it. All else is written to a folder that is removed.

    Args:
        words: The call, as for `sdtune fit`.

    Returns:
        Lines: a table of the run's parts, and how they were found.

    Raises:
        CallError: If the recipe does not run.
    """
    cold = _run(words, "start")["start"]
    found = _run(words, "steps")
    rows = [(name, times, each, times * each) for name, times, each in found["parts"]]
    return [
        "| part of the run | times | seconds each | seconds together |",
        "|---|---|---|---|",
        *(f"| {name} | {times} | {each:.3g} | {all_:.1f} |" for name, times, each, all_ in rows),
        f"| whole run | | | {sum(row[3] for row in rows):.1f} |",
        "",
        f"By {found['timed']} true steps on {found['device']}, after some that were not timed, and "
        f"each other part once; seconds are {found['clock']}.",
        f"A first start took {cold:.1f} s: what it computed is in the cache for the run.",
    ]


def main(arguments: Sequence[str]) -> int:
    """Start a recipe in this process, and write down what was found of it.

    Args:
        arguments: `start` or `steps`; where its run may write; and the call, as for `sdtune fit`.

    Returns:
        The exit code: 0, or 2 if the recipe does not run, which is written down too.
    """
    escape_unprintable()
    until, root, *words = arguments
    path = Path(root) / _FOUND
    try:
        return _start(until, Path(root), words)
    except (OSError, ValueError) as error:
        write_json(path, {"problems": list(getattr(error, "problems", [str(error)]))})
        return 2


def _start(until: str, root: Path, words: Sequence[str]) -> int:
    # only now: torch would make `sdtune estimate --help` slow
    from lightning.pytorch.callbacks import ModelCheckpoint

    from sdtune.bench.machine import clock_words, describe_machine
    from sdtune.bench.run_timer import RunTimer
    from sdtune.bench.window import WALL_CLOCK
    from sdtune.commands.fit import train
    from sdtune.commands.quiet import quiet_misleading_messages
    from sdtune.commands.recipe_cli import RecipeCLI

    def leave() -> None:
        if cli.trainer.is_global_zero:
            write_json(root / _FOUND, {"start": timer.start})
        os._exit(0)

    quiet_misleading_messages()
    cli = RecipeCLI([*words, f"--trainer.default_root_dir={root}"])
    if cli.trainer.world_size > 1:
        os.environ[WALL_CLOCK] = "1"  # time that processes wait for each other counts
    timer = RunTimer(float(os.environ[_BEGUN]), leave if until == "start" else None)
    callbacks: list[Any] = cli.trainer.callbacks  # type: ignore[attr-defined]
    for each in callbacks:
        if isinstance(each, ModelCheckpoint):
            each.dirpath = None  # in the run's folder
    callbacks.insert(0, timer)
    code = train(cli, words)
    if code == 0 and cli.trainer.is_global_zero:
        machine = describe_machine()
        parts = [(each.name, each.times, each.seconds) for each in timer.parts()]
        found = {"parts": parts, "timed": timer.timed, "clock": clock_words()}
        device = machine.get("gpu") or machine["processor"]
        write_json(root / _FOUND, found | {"device": device})
    return code


def _run(words: Sequence[str], until: str) -> dict[str, Any]:
    """Start once, and read what was found."""
    environment = {**os.environ, _BEGUN: str(time.time())}
    with tempfile.TemporaryDirectory(prefix="sdtune_estimate_") as root:
        command = [sys.executable, "-m", "sdtune.commands.timing", until, root, *words]
        done = run_captured(command, environment)
        path = Path(root) / _FOUND
        found: Any = parse_json_text(read_text(path)) if path.is_file() else {}
    if done.returncode or not found:
        lost = [f"The recipe does not run: {done.stderr.strip()[-500:]}"]
        raise CallError(found.get("problems", lost))
    return dict(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
