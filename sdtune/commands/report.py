"""`sdtune report`: the page of a run, or of several side by side."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from sdtune.files.printable_text import show
from sdtune.run_folder.layout import REPORT, RunFolder

__all__ = ["problems", "report"]


def report(runs: list[Path], *, output: Path | None = None) -> None:
    """Write a run's page, report.html in its folder: one file that opens offline.

    Training writes it at its end; write it anew after `sdtune evaluate`, or for a run that was
    killed. Several runs make one page together.

      sdtune report runs/style_lora/version_0

    Args:
        runs: Run folders, such as runs/style_lora/version_0.
        output: Where the page goes; of several runs, ./report.html by default.
    """
    # only now: they bring the plots along
    from sdtune.report.comparison import runs_table, write_comparison
    from sdtune.report.run_report import write_report

    if len(runs) == 1:
        path = write_report(runs[0], output)
    else:
        path = output or Path(REPORT)
        write_comparison(f"{len(runs)} runs", [runs_table(runs)], runs, path)
    show(f"report: {path}")


def problems(runs: Sequence[Path] = (), output: Path | None = None) -> Iterator[str]:
    """Say what is wrong with a call, apart from what the files hold."""
    for run in runs:
        if not RunFolder(run).config.is_file():
            yield (
                f"Expected a run folder, which holds a config.yaml, but got `{run}`: name one such "
                "as runs/style_lora/version_0."
            )
    if output is not None and output.is_dir():
        yield f"Expected `--output` to name a file, but got the folder `{output}`."
