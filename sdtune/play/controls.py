"""The inputs of the page, and what they ask for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import gradio as gr

from sdtune.models.noise_schedulers import NoiseSchedulerName
from sdtune.play.likeness import LARGEST_SEED, LARGEST_STRENGTH
from sdtune.play.studio import Asked, Studio

__all__ = ["Controls"]

_NEW_SEED = f"() => Math.floor(Math.random() * {2**32})"


class Controls:
    """What is drawn, as inputs of the page.

    Args:
        studio: For the adapters that are offered.
        first: What they are set to.

    Attributes:
        strengths: A slider for each adapter.
        inputs: All inputs, once the three parts are made; `read` takes their values.
    """

    def __init__(self, studio: Studio, first: Asked) -> None:
        self._offered = studio.offered
        self._factor = studio.drawer.size_step
        self._first = first
        self._checkpoints: list[Any] = []
        self.strengths: list[Any] = []
        self._plain: list[Any] = []
        self.prompt: Any = None

    @property
    def inputs(self) -> list[Any]:
        """The inputs in the order of their values."""
        chosen = [each for each in self._checkpoints if each is not None]
        return [self.prompt, *self._plain, *chosen, *self.strengths]

    def make_prompt(self) -> None:
        """Put the prompt here."""
        self.prompt = gr.Textbox(
            self._first.prompt,
            label="Prompt",
            lines=2,
            max_lines=6,
            max_length=20_000,
            elem_id="prompt",
        )

    def make_adapters(self) -> None:
        """Put the checkpoints and the strengths here."""
        several = len(self._offered) > 1
        for number, each in enumerate(self._offered):
            of = f" of {each.name}" if several else ""
            box = None
            if len(each.checkpoints) > 1:
                choices = [(words, key) for key, words in each.checkpoints.items()]
                key = self._first.checkpoints[number]
                box = gr.Dropdown(choices, value=key, label=f"Checkpoint{of}", filterable=False)
            self._checkpoints.append(box)
            has_strength = each.source(each.first).has_strength
            self.strengths.append(
                gr.Slider(
                    0.0,
                    LARGEST_STRENGTH if has_strength else 1.0,
                    self._first.strengths[number],
                    step=0.01 if has_strength else 1.0,
                    label=f"Strength{of}",
                    info="0 is the base, 1 as it was trained" if has_strength else "0 is without",
                )
            )

    def make_settings(self) -> None:
        """Put the seed and all else here."""
        first = self._first
        with gr.Row(elem_id="seeds"):
            seed = gr.Number(
                first.seed, label="Seed", precision=0, minimum=0, maximum=LARGEST_SEED, scale=3
            )
            new = gr.Button("New seed", scale=1, min_width=90)
        new.click(None, None, seed, js=_NEW_SEED, api_visibility="private")
        with gr.Accordion("More settings", open=False):
            negative = gr.Textbox(first.negative_prompt, label="Negative prompt", max_length=20_000)
            with gr.Row():
                steps = gr.Number(
                    first.num_inference_steps, label="Steps", precision=0, minimum=1, maximum=1000
                )
                guidance = gr.Number(first.guidance_scale, label="Guidance", minimum=0)
            sampler = gr.Dropdown(
                list(get_args(NoiseSchedulerName)),
                value=first.sampler,
                label="Sampler",
                filterable=False,
            )
            with gr.Row():
                width, height = (
                    gr.Number(
                        value,
                        label=name,
                        precision=0,
                        minimum=self._factor,
                        maximum=4096,
                        step=self._factor,
                    )
                    for name, value in (("Width", first.width), ("Height", first.height))
                )
        self._plain = [negative, seed, steps, guidance, sampler, width, height]

    def read(self, values: Sequence[Any]) -> Asked:
        """Read what is asked for.

        Args:
            values: One for each of `inputs`.

        Raises:
            ValueError: If a number is missing.
        """
        prompt, negative, seed, steps, guidance, sampler, width, height, *rest = values
        numbers = {"Seed": seed, "Steps": steps, "Guidance": guidance}
        numbers |= {"Width": width, "Height": height}
        missing = [name for name, value in numbers.items() if value is None]
        if missing:
            raise ValueError(f"Expected {' and '.join(missing)} to be a number, but it is empty.")
        boxes = iter(rest)
        checkpoints = [
            each.first if box is None else next(boxes)
            for each, box in zip(self._offered, self._checkpoints, strict=True)
        ]
        return Asked(
            prompt=prompt or "",
            checkpoints=tuple(checkpoints),
            strengths=tuple(map(float, boxes)),
            negative_prompt=negative or "",
            seed=int(seed),
            num_inference_steps=int(steps),
            guidance_scale=float(guidance),
            sampler=sampler,
            width=int(width),
            height=int(height),
        )

    def values(self, asked: Asked) -> list[Any]:
        """Say what the inputs are set to.

        Args:
            asked: What they ask for then.

        Returns:
            One for each of `inputs`.
        """
        checkpoints = [
            key
            for key, box in zip(asked.checkpoints, self._checkpoints, strict=True)
            if box is not None
        ]
        return [
            asked.prompt,
            asked.negative_prompt,
            asked.seed,
            asked.num_inference_steps,
            asked.guidance_scale,
            asked.sampler,
            asked.width,
            asked.height,
            *checkpoints,
            *asked.strengths,
        ]
