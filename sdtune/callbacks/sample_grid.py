"""Pictures of fixed prompts and seeds, checkpoint by checkpoint, below those of the base."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_warn
from PIL import Image
from torch import Tensor

from sdtune._checks import check_all, check_not_negative, check_positive
from sdtune._prompt_fields import PromptFields, Subject
from sdtune._wording import counted
from sdtune.adapters.words import learned_placeholders
from sdtune.callbacks.periodic import PeriodicCallback, is_trial
from sdtune.evaluation.base_pictures import BasePictures, describe_drawer
from sdtune.evaluation.settings import (
    asked_size,
    check_distinct,
    check_sides,
    check_texts,
    fields_of,
)
from sdtune.evaluation.shared_drawing import SharedDrawing
from sdtune.evaluation.technique import Technique
from sdtune.evaluation.undisturbed import undisturbed
from sdtune.models.stable_diffusion import StableDiffusion
from sdtune.models.substitution import substitute
from sdtune.run_folder.grid_image import GridRow, draw_grid, sampling_caption
from sdtune.run_folder.layout import SAMPLES, step_label
from sdtune.run_folder.picture_file import mark_lost, write_png
from sdtune.run_folder.sample_rows import SampleRows, rows_folder

__all__ = ["SampleGrid"]

_ROWS = 12  # beside the base's: more are never looked at together, and each is in all later grids


class SampleGrid(PeriodicCallback):
    """Draw the same prompts with the same seeds as training goes on.

    Writes `samples/step_000200.png` into the run folder, a grid whose first row is the untuned
    base and which grows by a row each time, up to 12: of more, those between the first and the
    latest are evenly chosen. TensorBoard gets it as `samples/grid` and, for each prompt,
    `samples/<prompt>`. Rows are kept at full size in `samples/rows/`, so that a resumed run shows
    the earlier ones too, and the base's in `$SDTUNE_CACHE`, for later runs. Training is not
    disturbed: with and without this callback it is the same, bit for bit. Several processes share
    out what is to be drawn, eight at a time.

    Args:
        prompts: What to draw; distinct. Fields of the data, such as `{subject}`, are filled; the
            base reads the noun.
        seeds: Every prompt is drawn once with each.
        every_n_steps: Optimizer steps between two rows. None for after each validation, or each
            epoch if there is no validation. The last step always has a row.
        num_inference_steps: Steps of the sampler.
        guidance_scale: Strength of classifier-free guidance; 1 is none.
        negative_prompt: What guidance leads away from.
        width: Of the pictures, in pixels, a multiple of 8; None for the base's own side.
        height: Likewise.
        subject: What `{subject}` and `{class}` stand for, where the data does not say it.

    Raises:
        ValueError: If arguments are out of their ranges, with a line for each.
    """

    folder_name = SAMPLES

    def __init__(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int] = (0,),
        every_n_steps: int | None = None,
        num_inference_steps: int = 25,
        guidance_scale: float = 7.5,
        negative_prompt: str = "",
        width: int | None = None,
        height: int | None = None,
        subject: Subject | None = None,
    ) -> None:
        super().__init__(every_n_steps)
        check_all(
            lambda: check_texts("prompts", prompts),
            lambda: check_distinct("seeds", seeds),
            lambda: check_positive("num_inference_steps", num_inference_steps, of="integer"),
            lambda: check_not_negative("guidance_scale", guidance_scale),
            lambda: check_sides(width, height),
        )
        self.prompts = list(prompts)
        self.seeds = list(seeds)
        self.num_inference_steps = num_inference_steps
        self.guidance_scale = guidance_scale
        self.negative_prompt = negative_prompt
        self.width = width
        self.height = height
        self._drawing = SharedDrawing()
        self.subject = subject
        self._asked = self.prompts  # with their fields
        self._plain = self.prompts  # as the base reads them

    def problems_with(self, data: object) -> list[str]:
        """List what keeps the fields of prompts from being filled by some data.

        Args:
            data: A data module, set up or not.

        Returns:
            One sentence, or none.
        """
        try:
            self._fill(data)
        except ValueError as error:
            return [str(error)]
        return []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Fill the fields of prompts, and learn whether processes share the drawing.

        Raises:
            ValueError: If a field is not known, or two prompts become one.
        """
        super().setup(trainer, pl_module, stage)
        self._fill(getattr(trainer, "datamodule", None))
        self._drawing = SharedDrawing()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the base's row, unless the run that is being resumed has done so."""
        super().on_train_start(trainer, pl_module)
        if is_trial(trainer):
            return
        if trainer.is_global_zero and self._resumed_run is not None:
            self._rows.adopt(rows_folder(self._resumed_run / SAMPLES), trainer.global_step)
        # every rank must take the same way, and not each may see the folder
        if not trainer.strategy.broadcast(self._rows.has(None)):
            self._add_row(trainer, cast(Technique, pl_module), None)

    def at_step(self, trainer: Trainer, technique: Technique, step: int) -> None:
        """Add the row of this step."""
        self._add_row(trainer, technique, step)

    def has(self, step: int) -> bool:
        """Tell whether a step has its row, and the grid that shows it."""
        return self._rows.has(step) and self._grid_path(step).is_file()

    @property
    def _rows(self) -> SampleRows:
        names = ("prompts", "seeds", "num_inference_steps", "guidance_scale", "negative_prompt")
        settings = {name: getattr(self, name) for name in names}
        settings |= asked_size(self.width, self.height)  # rows of earlier versions have none
        tiles = len(self.prompts) * len(self.seeds)
        return SampleRows(rows_folder(self.folder), settings, tiles)

    def _add_row(self, trainer: Trainer, technique: Technique, step: int | None) -> None:
        start = time.perf_counter()
        drawn = self._drawn(trainer, technique, step)
        if drawn is None:
            return
        images, lost = mark_lost(drawn)
        if lost:
            rank_zero_warn(
                f"{lost} of {counted(len(images), 'picture')} "
                f"{'holds' if lost == 1 else 'hold'} what is not a finite number, striped in "
                "the grid."
            )
        self._rows.write(step, images)
        self._publish(trainer, step or 0)
        rank_zero_info(
            f"Sampled {len(images)} picture{'' if len(images) == 1 else 's'} of "
            f"{'the base' if step is None else f'step {step}'} "
            f"in {time.perf_counter() - start:.1f} s."
        )

    def _drawn(self, trainer: Trainer, technique: Technique, step: int | None) -> Tensor | None:
        """Draw a row, or find the base's of an earlier run; None but on the first process."""
        size: dict[str, Any] = {**asked_size(self.width, self.height)}
        draw = partial(
            technique.generate,
            num_inference_steps=self.num_inference_steps,
            guidance_scale=self.guidance_scale,
            negative_prompt=self.negative_prompt,
            use_adapter=step is not None,
            **size,
        )
        asked = self._plain if step is None else self.prompts
        prompts = [prompt for prompt in asked for _ in self.seeds]
        seeds = self.seeds * len(self.prompts)
        kept = self._kept(technique) if step is None else None
        if kept is not None:
            found = kept.find(prompts, seeds) if trainer.is_global_zero else None
            # every rank must take the same way, and not each may see the folder
            if trainer.strategy.broadcast(found is not None):
                return found
        with undisturbed(trainer, cast(LightningModule, technique)):
            drawn = self._drawing.draw(draw, prompts, seeds)
        if kept is not None and drawn is not None and bool(drawn.isfinite().all()):
            return kept.keep(prompts, seeds, drawn)
        return drawn

    def _kept(self, technique: Technique) -> BasePictures | None:
        """Open the cache of what the untuned base draws; a model that is no bundle has none."""
        model = technique.model
        if not isinstance(model, StableDiffusion):
            return None
        drawer = describe_drawer(
            model,
            num_inference_steps=self.num_inference_steps,
            guidance_scale=self.guidance_scale,
            negative_prompt=self.negative_prompt,
            clip_skip=getattr(technique, "clip_skip", 1),
            size=(self.width or model.resolution, self.height or model.resolution),
        )
        # the base reads something else in the place of a new word
        drawer["words"] = [
            [each.token, each.initializer_token, each.num_vectors]
            for each in learned_placeholders(model)
        ]
        return BasePictures(drawer)

    def _fill(self, data: object) -> None:
        own = None if self.subject is None else PromptFields.of_subjects([self.subject])
        fields = own or fields_of(data)
        self.prompts = [fields.tuned(each, "SampleGrid.prompts") for each in self._asked]
        self._plain = [substitute(each, fields.words) for each in self.prompts]
        check_texts("prompts", self.prompts)

    def _publish(self, trainer: Trainer, step: int) -> None:
        rows = self._rows.up_to(step, most=_ROWS)
        caption = sampling_caption(self.num_inference_steps, self.guidance_scale, self.seeds)
        grid = draw_grid(rows, self.prompts, self.seeds, caption)
        write_png(self._grid_path(step), grid)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                self._log(logger, rows[-1], grid, step)

    def _grid_path(self, step: int) -> Path:
        return self.folder / f"{step_label(step)}.png"

    def _log(self, logger: TensorBoardLogger, row: GridRow, grid: Image.Image, step: int) -> None:
        writer, count = logger.experiment, len(self.seeds)
        writer.add_image("samples/grid", np.asarray(grid), step, dataformats="HWC")
        for number, prompt in enumerate(self.prompts):
            tiles = [np.asarray(tile) for tile in row.tiles[number * count : (number + 1) * count]]
            strip = np.concatenate(tiles, axis=1)  # count x (H, W, 3) -> (H, count * W, 3)
            writer.add_image(f"samples/{prompt}", strip, step, dataformats="HWC")
