"""`sdtune report`: the page of a run, or of several side by side."""

from collections.abc import Sequence
from pathlib import Path

from sdtune.commands.errors import CallError
from sdtune.run_folder.layout import REPORT, RunFolder

__all__ = ["main"]

_USAGE = "sdtune report RUN [RUN ...] [--output FILE]"
_HELP = f"""\
usage: {_USAGE}

Write a run's page, report.html in its folder: one file that opens offline. Training writes it at
its end; write it anew after `sdtune evaluate`, or for a run that was killed.

RUN             a run folder, such as runs/style_lora/version_0; several make one page together
--output FILE   where the page goes; of several runs, ./report.html by default
"""


def main(arguments: Sequence[str]) -> int:
    """Write the page.

    Args:
        arguments: The command line after `sdtune report`: run folders, and `--output`.

    Returns:
        The exit code, 0.

    Raises:
        CallError: If the call is wrong or one of the folders is no run; it lists every problem.
    """
    if not arguments or {"-h", "--help"} & set(arguments):
        print(_HELP, end="")
        return 0 if arguments else 2
    runs, output = _parse(arguments)
    # only now: they bring the plots along
    from sdtune.report.comparison import runs_table, write_comparison
    from sdtune.report.run_report import write_report

    if len(runs) == 1:
        path = write_report(runs[0], output)
    else:
        path = output or Path(REPORT)
        write_comparison(f"{len(runs)} runs", [runs_table(runs)], runs, path)
    print(f"report: {path}")
    return 0


def _parse(arguments: Sequence[str]) -> tuple[list[Path], Path | None]:
    runs: list[Path] = []
    output: Path | None = None
    problems = []
    words = list(arguments)
    while words:
        word = words.pop(0)
        name, _, value = word.partition("=")
        if name in ("--output", "-o"):
            value = value or (words.pop(0) if words else "")
            output = Path(value) if value else None
            if not value or Path(value).is_dir():
                problems.append(f"Expected `--output` to name a file, but got `{value}`.")
        elif word.startswith("-"):
            problems.append(f"Expected a run folder or `--output`, but got `{word}`.")
        elif not RunFolder(Path(word)).config.is_file():
            problems.append(
                f"Expected a run folder, which holds a config.yaml, but got `{word}`: name one "
                "such as runs/style_lora/version_0."
            )
        else:
            runs.append(Path(word))
    if not runs and not problems:
        problems.append(f"Expected at least one run folder: {_USAGE}.")
    if problems:
        raise CallError(problems)
    return runs, output
