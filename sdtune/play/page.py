"""The page: what its parts do, and what is shown."""

from __future__ import annotations

import time
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from sdtune.drawing.picture_settings import read_settings
from sdtune.drawing.settings import PictureSettings
from sdtune.play.controls import Controls
from sdtune.play.grid_tab import GridTab
from sdtune.play.likeness import likeness
from sdtune.play.messages import attempt, drawn_words, notice, warning
from sdtune.play.studio import Kept, Pair, Studio

__all__ = ["Page"]

_PROGRESS = gr.Progress()
_SHOWN_IN_GALLERY = 200
_LONGEST_CAPTION = 60  # characters
_DIVIDE = "(share) => ({ __type__: 'update', slider_position: share })"
_PRIVATE = {"api_visibility": "private"}
_DRAWS = {**_PRIVATE, "concurrency_id": "drawing", "concurrency_limit": 1}


class Page:
    """The page.

    Args:
        studio: What draws.
        first: What it is set to when it is opened.
        folder: Where grids are put.
    """

    def __init__(self, studio: Studio, first: PictureSettings, folder: Path) -> None:
        self._studio = studio
        asked = likeness(first, studio.drawer, studio.offered).asked
        self._controls = Controls(studio, asked)
        self._grid = GridTab(studio, self._controls, folder)

    def build(self, title: str) -> Any:
        """Make the page.

        Args:
            title: Of its window.

        Returns:
            Gradio's blocks, to be launched.
        """
        with gr.Blocks(title=title, analytics_enabled=False, fill_width=False) as blocks:
            gr.HTML(self._head(title), elem_id="head")
            self._like = gr.State(None)
            self._selected = gr.State(None)
            self._controls.make_prompt()
            with gr.Row(elem_id="actions"):
                self._button = gr.Button("Draw", variant="primary", elem_id="draw", scale=3)
                self._stop = gr.Button("Stop", elem_id="stop", scale=1)
            self._status = gr.HTML(
                notice("Ctrl+Enter draws, Escape stops."), elem_id="status", min_height=40
            )
            with gr.Row():
                with gr.Column(scale=3, min_width=340):
                    self._make_result()
                with gr.Column(scale=2, min_width=340):
                    self._controls.make_settings()
                    self._drop = gr.File(
                        label="Settings from a picture",
                        file_types=[".png"],
                        height=140,
                        elem_id="drop",
                    )
            self._make_gallery()
            self._connect(blocks)
        return blocks

    def _head(self, title: str) -> str:
        names = ", ".join(each.name for each in self._studio.offered) or "no adapter"
        base = self._studio.drawer.base.source
        return f"<h1>{escape(title)}</h1><p>{escape(names)}, on the base {escape(base)}</p>"

    def _make_result(self) -> None:
        with gr.Tabs(elem_id="tabs") as self._tabs:
            with gr.Tab("Picture", id="picture"):
                if self._studio.offered:
                    self._picture = gr.ImageSlider(
                        label="Base left, adapter right",
                        type="filepath",
                        interactive=False,
                        max_height=512,
                        elem_id="pair",
                    )
                    divider = gr.Slider(0, 100, 50, step=1, label="Divider, % of the base")
                    divider.input(None, divider, self._picture, js=_DIVIDE, **_PRIVATE)
                else:
                    self._picture = gr.Image(
                        label="Picture", type="filepath", interactive=False, elem_id="pair"
                    )
            with gr.Tab("Grid", id="grid"):
                self._grid.make()
        self._controls.make_adapters()

    def _make_gallery(self) -> None:
        self._gallery = gr.Gallery(
            label="Drawn, the newest first",
            columns=8,
            fit_columns=False,
            height="auto",
            object_fit="contain",
            interactive=False,
            buttons=["download", "fullscreen"],
            elem_id="drawn",
        )
        with gr.Row(equal_height=True):
            self._settings = gr.Textbox(
                label="Settings of the picture that is chosen above",
                lines=3,
                max_lines=8,
                interactive=False,
                buttons=[],  # one would take the label for its own
                scale=4,
                min_width=320,
                elem_id="settings",
            )
            self._reuse = gr.Button("Use its settings", elem_id="reuse", scale=1, min_width=140)

    def _connect(self, blocks: Any) -> None:
        asked = self._controls.inputs
        result = [self._picture, self._status, self._gallery]
        drawing = {"show_progress_on": self._picture, **_DRAWS}
        self._button.click(self._draw, [self._like, *asked], result, **drawing)
        for each in self._controls.strengths:
            # of those that come while one is drawn, the last
            each.release(
                self._draw, [self._like, *asked], result, trigger_mode="always_last", **drawing
            )
        self._button.click(
            lambda: gr.Tabs(selected="picture"),
            None,
            self._tabs,
            concurrency_limit=None,
            **_PRIVATE,
        )
        self._grid.button.click(
            self._draw_grid,
            [*self._grid.inputs, *asked],
            [self._grid.image, self._status, self._gallery],
            show_progress_on=self._grid.image,
            **_DRAWS,
        )
        self._stop.click(self._studio.stop, concurrency_limit=None, **_PRIVATE)
        taken = [*asked, self._like, self._status]
        self._drop.upload(self._take_over, self._drop, [*taken, self._drop], **_PRIVATE)
        self._gallery.select(self._choose, None, [self._selected, self._settings], **_PRIVATE)
        self._reuse.click(self._use, self._selected, taken, **_PRIVATE)
        blocks.load(self._shown_in_gallery, None, self._gallery, **_PRIVATE)

    def _draw(
        self, like: PictureSettings | None, progress: Any = _PROGRESS, *values: Any
    ) -> tuple[Any, ...]:
        started, before = time.monotonic(), len(self._studio.drawn)

        def draw() -> list[Kept]:
            pair: Pair = self._studio.pair(self._controls.read(values), like)
            both = [pair.base, pair.tuned] if self._studio.offered else [pair.tuned]
            return self._studio.draw(both, lambda *done: progress(done))

        drawn, words = attempt(draw)
        if drawn is None:
            return gr.skip(), words, self._shown_in_gallery()
        words = drawn_words(drawn, time.monotonic() - started, len(self._studio.drawn) - before)
        files = [str(each.path) for each in drawn]
        picture = tuple(files) if self._studio.offered else files[0]
        return picture, words, self._shown_in_gallery()

    def _draw_grid(self, progress: Any = _PROGRESS, *values: Any) -> tuple[Any, ...]:
        path, words = self._grid.draw(values, progress)
        return gr.skip() if path is None else path, words, self._shown_in_gallery()

    def _take_over(self, path: str | None) -> list[Any]:
        """Read the settings of a picture that was dropped; it is not kept."""
        if path is None:
            return [*self._unchanged(), gr.skip(), None]
        settings, words = attempt(lambda: read_settings(Path(path)))
        Path(path).unlink(missing_ok=True)
        if settings is None:
            return [*self._unchanged(), words.replace(escape(path), escape(Path(path).name)), None]
        return [*self._use(settings), None]

    def _use(self, settings: PictureSettings | None) -> list[Any]:
        if settings is None:
            return [*self._unchanged(), notice("Choose a picture below first.")]
        taken, words = attempt(
            lambda: likeness(settings, self._studio.drawer, self._studio.offered)
        )
        if taken is None:
            return [*self._unchanged(), words]
        words = warning(" ".join(taken.notes)) if taken.notes else notice("Settings taken over.")
        return [*self._controls.values(taken.asked), settings, words]

    def _unchanged(self) -> list[Any]:
        return [gr.skip() for _ in [*self._controls.inputs, self._like]]

    def _choose(self, event: gr.SelectData) -> tuple[PictureSettings | None, str]:
        """Find what was chosen by its file: since it was shown, more may have been drawn."""
        value = event.value if isinstance(event.value, dict) else {}
        path = value.get("image", {}).get("path")
        kept = next((each for each in self._newest() if str(each.path) == path), None)
        return (None, "") if kept is None else (kept.settings, kept.text)

    def _shown_in_gallery(self) -> list[tuple[str, str]]:
        return [(str(each.path), _caption(each)) for each in self._newest()]

    def _newest(self) -> Sequence[Kept]:
        return self._studio.drawn[: -_SHOWN_IN_GALLERY - 1 : -1]


def _caption(kept: Kept) -> str:
    settings = kept.settings
    used = ", ".join(f"{each.name} {each.strength:g}" for each in settings.adapters) or "base"
    prompt = settings.prompt
    if len(prompt) > _LONGEST_CAPTION:
        prompt = f"{prompt[:_LONGEST_CAPTION]}…"
    return f"{used}, seed {settings.seed}: {prompt}"
