"""`sdtune play`: a page in the browser that draws with adapters."""

import sys
import webbrowser
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from sdtune._imports import require
from sdtune.commands.page_server import ended_by_signals, port_problems
from sdtune.commands.quiet import quiet_misleading_messages
from sdtune.commands.tools import recorded_base, refusing
from sdtune.drawing.generation_call import PrecisionChoice
from sdtune.files.printable_text import show
from sdtune.run_folder.run_recipe import precision_of

if TYPE_CHECKING:
    from sdtune.drawing.settings import PictureSettings
    from sdtune.play.studio import Studio

__all__ = ["play", "problems"]

_NANO = "nano"


def play(
    adapters: list[Path] | None = None,
    *,
    checkpoint: str | None = None,
    base: str | None = None,
    output: Path | None = None,
    port: int | None = None,
    browser: bool = False,
    precision: PrecisionChoice | None = None,
    device: str | None = None,
) -> None:
    """Draw in the browser, with adapters of any strength beside their base. Ctrl-C ends it.

      sdtune play runs/style_lora/version_0
      sdtune play style.safetensors erica.safetensors --output pictures
      sdtune play --base nano

    The page is for this machine alone: it cannot be shared, nothing is fetched, and of files it
    reads what is given here and what is dropped onto it.

    Args:
        adapters: Run folders, whose checkpoints can be chosen; or files or folders of adapters;
            without any the base draws alone.
        checkpoint: Of runs, the one to begin with: `best`, `last` or a step; by default the best.
        base: What the adapters were trained on, as in a recipe; by default the first one's run's
            own, else nano.
        output: A folder in which all pictures are kept; without one they are deleted at the end,
            but for those that you download.
        port: Where the page is; by default the first free one from 7860.
        browser: Open the page in the browser.
        precision: Of the base; by default its run's, else float32.
        device: Where to draw, such as `cuda`; by default the GPU if there is one.
    """
    quiet_misleading_messages()
    # only now: they bring torch and Gradio along
    from sdtune.play.environment import closed_environment

    paths = adapters or []
    base = base or (recorded_base(paths[0]) if paths else None)
    precision = precision or (precision_of(paths[0]) if paths else "float32")
    with TemporaryDirectory(prefix="sdtune_play_") as name, closed_environment(Path(name)):
        folder = Path(name)
        with refusing():
            studio, first = _opened(
                paths, checkpoint, base, folder, output, precision=precision, device=device
            )
        from sdtune.play.server import served

        with ended_by_signals() as end, served(studio, first, folder, port) as address:
            show(f"sdtune play: {address} (Ctrl-C ends it)")
            if browser:
                webbrowser.open(address)
            end.wait()


def problems(
    adapters: Sequence[Path] | None = None,
    checkpoint: str | None = None,
    output: Path | None = None,
    port: int | None = None,
    **others: object,
) -> Iterator[str]:
    """Say what is wrong with a call, apart from what the files hold."""
    try:
        require("gradio", "play")
    except ModuleNotFoundError as error:
        yield str(error)
    if checkpoint is not None and not any((each / "adapter").is_dir() for each in adapters or ()):
        yield (
            "Expected `--checkpoint` with a run folder, such as runs/style_lora/version_0, but "
            "none is given."
        )
    if output is not None and output.exists() and not output.is_dir():
        yield f"Expected `--output` to name a folder, but {output} is a file."
    yield from port_problems(port)


def _opened(
    paths: Sequence[Path],
    checkpoint: str | None,
    base: str | None,
    folder: Path,
    output: Path | None,
    *,
    precision: PrecisionChoice,
    device: str | None,
) -> "tuple[Studio, PictureSettings]":
    """Load what draws, and say what the page begins with; all that is wrong is found here."""
    from sdtune.drawing.drawer import Drawer
    from sdtune.drawing.request import Request, run_sampling
    from sdtune.play.offered import offer
    from sdtune.play.studio import Studio

    offered = [offer(each, checkpoint if (each / "adapter").is_dir() else None) for each in paths]
    sources = [each.source(each.first) for each in offered]
    drawer = Drawer(base or _NANO, sources, precision=precision, device=device)
    sampling = run_sampling(paths[0]) if paths else None
    [first, *_] = Request(sources, prompts=None if sampling else [""]).settings(drawer, sampling)
    drawer.check(first, is_base_known=base is not None)
    for each in sources:
        digest = each.metadata.get("sdtune.base_unet_sha256", "")
        if digest and not drawer.is_base(digest):
            show(
                f"note: {each.path} was trained on another base than `{drawer.base.source}`, one "
                f"whose UNet has the hash {digest[:10]}; `--base` names it.",
                file=sys.stderr,
            )
    return Studio(drawer, offered, folder / "drawn", output), first
