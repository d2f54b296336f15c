"""The page, served to this machine alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from starlette.middleware import Middleware

from sdtune.drawing.settings import PictureSettings
from sdtune.play.guard import Guard
from sdtune.play.page import Page
from sdtune.play.studio import Studio
from sdtune.play.theme import make_theme

__all__ = ["served"]

_LARGEST_UPLOAD = "100mb"
_TITLE = "sdtune play"


@contextmanager
def served(
    studio: Studio, first: PictureSettings, folder: Path, port: int | None = None
) -> Iterator[str]:
    """Serve the page until the block ends.

    Args:
        studio: What draws.
        first: What the page is set to when it is opened.
        folder: Where uploads and the studio's pictures are: the only folder whose files are sent,
            and that of `closed_environment`, in which this is called.
        port: Where; None for the first free one from 7860.

    Yields:
        The page's address.

    Raises:
        OSError: If the port is taken.
    """
    own = files("sdtune.play")
    blocks = Page(studio, first, folder).build(_TITLE)
    _, address, _ = blocks.launch(
        server_name="127.0.0.1",
        server_port=port,
        app_kwargs={"middleware": [Middleware(Guard, folder=folder)]},
        theme=make_theme(),
        css=(own / "page.css").read_text(encoding="utf-8"),
        head=f"<script>{(own / 'keys.js').read_text(encoding='utf-8')}</script>",
        max_file_size=_LARGEST_UPLOAD,
        share=False,
        inbrowser=False,
        prevent_thread_lock=True,
        quiet=True,
        show_error=True,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        strict_cors=True,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
    )
    try:
        yield address
    finally:
        studio.stop()
        blocks.close(verbose=False)
