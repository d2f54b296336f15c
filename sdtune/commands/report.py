"""`sdtune report`: the page of a run, or of several side by side."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from sdtune.files.printable_text import show
from sdtune.report.page_place import page_problem
from sdtune.run_folder.layout import REPORT, RunFolder

__all__ = ["problems", "report"]


def report(runs: list[Path], *, output: Path | None = None) -> None:
    """Write a run's page, report.html in its folder: one file that opens offline.

    Training writes it at its end; write it anew after `sdtune evaluate`, or for a run that was
    killed. Several runs make one page together. No file but a page of sdtune's is replaced.

      sdtune report runs/style_lora/version_0

    Args:
        runs: Run folders, such as runs/style_lora/version_0.
        output: Where the page goes; of several runs, ./report.html by default.
    """
    # only now: they bring the plots along
    from sdtune.report.comparison import runs_table, write_comparison
    from sdtune.report.run_report import write_report

    path = _path(runs, output)
    if len(runs) == 1:
        write_report(runs[0], path)
    else:
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
    if (output is not None or runs) and (problem := page_problem(_path(runs, output), "--output")):
        yield problem


def _path(runs: Sequence[Path], output: Path | None) -> Path:
    """Find where the page goes."""
    return output or (RunFolder(runs[0]).report if len(runs) == 1 else Path(REPORT))
