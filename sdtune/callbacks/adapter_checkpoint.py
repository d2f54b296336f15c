"""The adapter as files that other programs load, while training and at its end."""

from __future__ import annotations

import re
from filecmp import cmp
from pathlib import Path
from typing import Literal, get_args

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_info

from sdtune._checks import check_positive
from sdtune.adapters.adapter_files import copy_adapter, drop_adapter
from sdtune.adapters.adapter_set import AdapterSet
from sdtune.adapters.lora.kohya_header import OUTPUT_NAME
from sdtune.adapters.registry import written_files
from sdtune.callbacks.periodic import PeriodicCallback, is_trial
from sdtune.evaluation.recorded_training import training_record
from sdtune.evaluation.technique import Technique, as_technique
from sdtune.files import tensor_file
from sdtune.run_folder.layout import ADAPTER, BEST, RunFolder, by_step, step_label
from sdtune.run_folder.resumes import changes_of_training

__all__ = ["AdapterCheckpoint"]

AdapterDtype = Literal["float32", "float16", "bfloat16"]


class AdapterCheckpoint(PeriodicCallback):
    """Write the adapter to `adapter/step_000200/` as training goes on, and last to `adapter/`.

    Beside an `EvaluationCallback`, the best checkpoint so far is in `adapter/best/`, however many
    of the latest ones are kept.

    Every file is loaded back through its own reader and compared with the model before training
    goes on: a format that loses something is found at the first checkpoint and not afterwards.
    Files of the same bytes, such as the last checkpoint's, the final and the best ones, are proved
    once. Each folder has all formats that can hold the adapter: a LoRA's for diffusers, for A1111
    and ComfyUI, and for PEFT. The last line says for which programs there is none. Headers hold
    what the adapter was trained by and with, for `sdtune reproduce`, without any folder's name.

    Args:
        every_n_steps: Optimizer steps between two checkpoints. None for after each validation,
            or each epoch if there is no validation.
        keep: How many of the latest checkpoints stay; None for all.
        dtype: `float32`, as adapters are trained; or `float16` or `bfloat16`, half the size. The
            last line says by how much the output then differs. Keys and values of the
            cross-attention and a whole UNet are not rounded.

    Raises:
        ValueError: If a number is not positive, or `dtype` is no such type.
    """

    folder_name = ADAPTER

    def __init__(
        self,
        every_n_steps: int | None = None,
        keep: int | None = None,
        dtype: AdapterDtype = "float32",
    ) -> None:
        super().__init__(every_n_steps)
        if dtype not in get_args(AdapterDtype):
            allowed = ", ".join(f"`{each}`" for each in get_args(AdapterDtype))
            raise ValueError(f"Expected `dtype` to be one of {allowed}, but got `{dtype}`.")
        check_positive("keep", keep, of="integer or None")
        self.keep = keep
        self.dtype: AdapterDtype = dtype
        self._record: dict[str, str] = {}
        self._proved: tuple[Path, float] | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look up what the adapter is trained by and with: all is loaded now."""
        super().on_train_start(trainer, pl_module)
        self._record, self._proved = {}, None  # an earlier fit's were of another model
        if trainer.is_global_zero and not is_trial(trainer):
            changes = changes_of_training(self.folder.parent)
            data = getattr(trainer, "datamodule", None)
            self._record = training_record(trainer, pl_module, data, changes).header()

    def at_step(self, trainer: Trainer, technique: Technique, step: int) -> None:
        """Write and verify a checkpoint, then drop those that are too old."""
        if trainer.is_global_zero:
            self._write(technique, self._step_folder(step))
            self._prune(step)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the last checkpoint and the final adapter."""
        super().on_train_end(trainer, pl_module)
        if trainer.is_global_zero and not is_trial(trainer):
            adapter, path, error = self._write(as_technique(pl_module), self.folder)
            size = path.stat().st_size / 1e6
            rounded = (
                ""
                if self.dtype == "float32"
                else (
                    f" Rounded to {self.dtype}, it changes outputs by {100 * error:.2g} % at most."
                )
            )
            rank_zero_info(
                f"Wrote {path} ({size:.1f} MB) and verified it by loading it back.{rounded}"
            )
            for line in adapter.left_out():
                rank_zero_info(line)

    def folder_of(self, step: int) -> Path | None:
        """Say where the adapter of a step is.

        Args:
            step: Optimizer steps.

        Returns:
            Its folder, or None if it is not kept.
        """
        folder = self._step_folder(step)
        return folder if any(written_files(folder)) else None

    def keep_best(self, step: int | None, technique: Technique) -> None:
        """Put the adapter of a step into `adapter/best/`, in the place of what was there.

        Args:
            step: Optimizer steps; None if there is no best one.
            technique: Written, if it is at that step now. Otherwise the files of that step are
                taken, also of the folder that a run was resumed from; if they are not kept, there
                is no best one any more.
        """
        best = self.folder / BEST
        if step == technique.global_step:
            drop_adapter(best)
            self._write(technique, best)
            return
        source = self._kept(step)
        if source == best:
            return
        drop_adapter(best)
        if source is not None:
            copy_adapter(source, best)

    def _step_folder(self, step: int) -> Path:
        return self.folder / step_label(step)

    def _kept(self, step: int | None) -> Path | None:
        """Find a folder with the adapter of a step."""
        if step is None:
            return None
        roots = [self.folder, *([self._resumed_run / ADAPTER] if self._resumed_run else [])]
        folders = [root / name for root in roots for name in (BEST, step_label(step))]
        return next((each for each in folders if _step_in(each) == str(step)), None)

    def _write(self, technique: Technique, folder: Path) -> tuple[AdapterSet, Path, float]:
        with technique.averaged_weights():
            adapter = technique.adapter().to(getattr(torch, self.dtype))
            metadata = {**technique.adapter_metadata(), **self._named(), **self._record}
            path = adapter.save(folder, metadata)
            if self._proved is None or not _is_copy(folder, self._proved[0]):
                self._proved = (folder, adapter.verify(path, technique.model))
            return adapter, path, self._proved[1]

    def _named(self) -> dict[str, str]:
        """Name the adapter by the recipe, if this is the folder of a recipe's run."""
        run = RunFolder(self.folder.parent)
        name = re.sub(r"[^\w.-]+", "_", run.recipe).strip("_.")
        return {OUTPUT_NAME: name} if name and run.config.exists() else {}

    def _prune(self, step: int) -> None:
        if self.keep is None:
            return
        folders = by_step(self.folder)
        # later ones are of a future that a resumed run has given up; they are written anew
        past = [number for number in folders if number <= step]
        for number in past[: -self.keep]:
            drop_adapter(folders[number])


def _is_copy(folder: Path, proved: Path) -> bool:
    """Tell whether a folder has the bytes of another one's files, under the same names."""
    files = [each.relative_to(proved) for each in written_files(proved)]
    pairs = [(folder / each, proved / each) for each in files]
    others = [(one, other) for one, other in pairs if one != other and one.is_file()]
    return 0 < len(others) == len(pairs) and all(cmp(*each, shallow=False) for each in others)


def _step_in(folder: Path) -> str | None:
    """Read from a header of which step the files in a folder are."""
    headers = (tensor_file.read_header(each).metadata for each in written_files(folder))
    return next((header.get("sdtune.steps") for header in headers if header), None)
