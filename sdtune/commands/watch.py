"""`sdtune watch`: a run's page in the browser, while it trains."""

import os
import webbrowser
from collections.abc import Iterator
from pathlib import Path

from sdtune.commands.page_server import ended_by_signals, port_problems
from sdtune.commands.quiet import quiet_misleading_messages
from sdtune.commands.run_folder import DEFAULT_ROOT
from sdtune.files.printable_text import show

__all__ = ["problems", "watch"]

_POLITENESS = 10  # of 19: training goes first


def watch(
    run: Path = Path(DEFAULT_ROOT), *, port: int | None = None, browser: bool = False
) -> None:
    """Show a run's report in the browser, live while it trains. Ctrl-C ends the page, not the run.

      sdtune watch
      sdtune watch runs/style_lora/version_0

    Curves, the newest samples, scores, time left, and a button that ends training as Ctrl-C does,
    with a checkpoint. The page is for this machine alone, and shows what is in the run's folder.

    Args:
        run: A run folder; or a folder of runs, `runs` by default, of which the newest is shown.
        port: Where the page is; by default the first free one from 7870.
        browser: Open the page in the browser.
    """
    quiet_misleading_messages()
    # only now: they bring the plots along
    from sdtune.watch.live_page import LivePage
    from sdtune.watch.server import served

    if hasattr(os, "nice"):
        os.nice(_POLITENESS)
    with ended_by_signals() as end, served(LivePage(run), port) as address:
        show(f"sdtune watch: {address} (Ctrl-C ends the page; the run goes on)")
        if browser:
            webbrowser.open(address)
        end.wait()


def problems(run: Path = Path(DEFAULT_ROOT), port: int | None = None, **_: object) -> Iterator[str]:
    """Say what is wrong with a call, apart from what the files hold."""
    if run.exists() and not run.is_dir():
        yield (
            f"Expected a run folder, or a folder of runs, but `{run}` is no folder: name the one "
            "that it lies in, or a run's."
        )
    elif not run.is_dir():
        yield (
            f"Expected a run folder, or a folder of runs, but there is no `{run}`: start a run "
            "with `lightning run RECIPE.yaml`, or name its folder."
        )
    yield from port_problems(port)
