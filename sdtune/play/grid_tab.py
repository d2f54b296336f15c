"""The tab of grids: checkpoints and strengths, or prompts and seeds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkstemp
from typing import Any

import gradio as gr

from sdtune.play.controls import Controls
from sdtune.play.grids import Grid, by_checkpoint, by_prompt, read_numbers
from sdtune.play.likeness import LARGEST_SEED
from sdtune.play.messages import attempt, drawn_words
from sdtune.play.studio import Asked, Kept, Studio

__all__ = ["GridTab"]

_PROGRESS = gr.Progress()
_PROMPTS, _CHECKPOINTS = (
    "prompt \N{MULTIPLICATION SIGN} seed",
    "checkpoint \N{MULTIPLICATION SIGN} strength",
)


class GridTab:
    """Inputs of a grid, and the grid.

    Args:
        studio: What draws.
        controls: What is asked for otherwise.
        folder: Where grids are put.
    """

    def __init__(self, studio: Studio, controls: Controls, folder: Path) -> None:
        self._studio = studio
        self._controls = controls
        self._folder = folder
        self._runs = [n for n, each in enumerate(studio.offered) if len(each.checkpoints) > 1]

    def make(self) -> None:
        """Put the tab's parts here."""
        kinds = [_CHECKPOINTS, _PROMPTS] if self._runs else [_PROMPTS]
        self._kind = gr.Radio(kinds, value=kinds[0], label="Across and down")
        with gr.Column(visible=bool(self._runs)) as checkpoint_inputs:
            names = [(each.name, n) for n, each in enumerate(self._studio.offered)]
            of = self._runs[0] if self._runs else 0
            self._adapter = gr.Dropdown(
                [names[n] for n in self._runs],
                value=of if self._runs else None,
                label="Run",
                filterable=False,
                visible=len(self._runs) > 1,
            )
            self._checkpoints = gr.CheckboxGroup(
                self._choices(of), value=self._steps(of), label="Checkpoints"
            )
            self._strengths = gr.Textbox("0, 0.4, 0.8, 1.2", label="Strengths", max_length=500)
        with gr.Column(visible=not self._runs) as prompt_inputs:
            self._prompts = gr.Textbox(
                label="Prompts, one a line; without any, the one above", lines=3, max_length=50_000
            )
            self._seeds = gr.Textbox("0, 1, 2, 3", label="Seeds", max_length=500)
        self.button = gr.Button("Draw the grid", variant="primary", elem_id="draw-grid")
        self.image = gr.Image(
            label="Grid",
            type="filepath",
            format="png",
            interactive=False,
            buttons=["download", "fullscreen"],
            elem_id="grid",
        )
        self._kind.change(
            lambda kind: [gr.update(visible=kind == each) for each in (_CHECKPOINTS, _PROMPTS)],
            self._kind,
            [checkpoint_inputs, prompt_inputs],
            api_visibility="private",
        )
        self._adapter.change(
            lambda n: gr.update(choices=self._choices(n), value=self._steps(n)),
            self._adapter,
            self._checkpoints,
            api_visibility="private",
        )

    @property
    def inputs(self) -> list[Any]:
        """What `draw` takes, before the values of the controls."""
        return [
            self._kind,
            self._adapter,
            self._checkpoints,
            self._strengths,
            self._prompts,
            self._seeds,
        ]

    def draw(self, values: Sequence[Any], progress: Any) -> tuple[str | None, str]:
        """Draw a grid.

        Args:
            values: Of `inputs`, and of the controls.
            progress: Gradio's.

        Returns:
            The grid's file, or None; and what is said.
        """
        started, before = time.monotonic(), len(self._studio.drawn)

        def draw() -> tuple[Grid, list[Kept]]:
            count = len(self.inputs)
            grid = self._layout(self._controls.read(values[count:]), *values[:count])
            return grid, self._studio.draw(grid.settings, lambda *done: progress(done))

        found, words = attempt(draw)
        if found is None:
            return None, words
        grid, drawn = found
        handle, path = mkstemp(suffix=".png", prefix="grid_", dir=self._folder)
        with open(handle, "wb") as file:
            grid.image(drawn).save(file, format="PNG")
        new = len(self._studio.drawn) - before
        return path, drawn_words(drawn, time.monotonic() - started, new)

    def _layout(
        self,
        asked: Asked,
        kind: str,
        adapter: int | None,
        checkpoints: Sequence[str],
        strengths: str,
        prompts: str,
        seeds: str,
    ) -> Grid:
        if kind == _CHECKPOINTS and adapter is not None:
            numbers = read_numbers(strengths, "strengths")
            return by_checkpoint(self._studio, asked, adapter, checkpoints, numbers)
        lines = [each.strip() for each in (prompts or asked.prompt).splitlines() if each.strip()]
        wanted = read_numbers(seeds, "seeds")
        wrong = [each for each in wanted if each % 1 or not 0 <= each <= LARGEST_SEED]
        if wrong:
            raise ValueError(
                f"Expected seeds to be whole numbers up to {LARGEST_SEED}, but got {wrong[0]:g}."
            )
        return by_prompt(self._studio, asked, lines, [int(each) for each in wanted])

    def _choices(self, number: int) -> list[tuple[str, str]]:
        if number not in self._runs:
            return []
        return [(words, key) for key, words in self._studio.offered[number].checkpoints.items()]

    def _steps(self, number: int) -> list[str]:
        """The checkpoints that are no second name of another one."""
        keys = [key for _, key in self._choices(number)]
        steps = [each for each in keys if each.startswith("step_")]
        return steps or keys
