"""Which training pictures the model finds hard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from sdtune._samples import sample_names
from sdtune.callbacks.periodic import is_trial
from sdtune.evaluation.picture_sums import BINS, PictureSums
from sdtune.evaluation.technique import as_technique
from sdtune.run_folder.layout import RunFolder
from sdtune.run_folder.picture_losses import write_picture_losses

__all__ = ["PictureLosses"]

_BATCHES_AT_ONCE = 256


class PictureLosses(Callback):
    """Write each training picture's mean loss to `picture_losses.json` in the run folder.

    A sample's loss depends mostly on its timestep: little noise is hard to tell, much is easy. A
    picture that happened to be drawn at low timesteps would look hard. `relative_loss` is
    therefore the mean, over a picture's samples, of the loss divided by the mean loss of all
    samples in the same tenth of the noise schedule: 1 is ordinary, 2 is twice as hard. Where a
    technique keeps content, what it learns of the base at high noise tells of no picture, and is
    left out.

    Losses stay on their device and are fetched every 256 batches, so that no step waits for them.
    The sums are part of the checkpoint, and a resumed run counts on.
    """

    def __init__(self) -> None:
        super().__init__()
        self._earlier = PictureSums()  # what a resumed run had seen, the same on every rank
        self._own = PictureSums()  # what this process has seen since
        self._pending: list[tuple[Sequence[str], Tensor, Tensor, Sequence[float]]] = []
        self._folder = Path()
        self._total = 0
        self._below = 1.0  # timesteps from here on tell of no picture

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check the module and learn the run folder; another run begins with nothing."""
        as_technique(pl_module)
        if not trainer.global_step:  # what a resumed run had seen is restored after this
            self._earlier, self._own = PictureSums(), PictureSums()
            self._pending.clear()
        # a collective call, so it is made here, where all ranks are
        self._folder = Path(trainer.log_dir or trainer.default_root_dir)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Learn how long the noise schedule is, and which part of it tells of pictures."""
        self._total = as_technique(pl_module).model.num_train_timesteps
        self._below = getattr(pl_module, "learns_pictures_below", 1.0) * self._total

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Note the losses of a batch.

        Raises:
            TypeError: If the training step returns none.
        """
        if not isinstance(outputs, Mapping) or not {"sample_losses", "timesteps"} <= set(outputs):
            raise TypeError(
                f"Expected the training step of {type(pl_module).__name__} to return "
                "`sample_losses` and `timesteps` beside `loss`, but it does not: take "
                "PictureLosses out of `trainer.callbacks`."
            )
        names = sample_names(batch)
        weights = batch.get("sample_weights", [1.0] * len(names))
        self._pending.append((names, outputs["sample_losses"], outputs["timesteps"], weights))
        if len(self._pending) == _BATCHES_AT_ONCE:
            self._count()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what all processes have seen, also if a resumed run had no step left."""
        sums = self._all()
        if trainer.is_global_zero and not is_trial(trainer):
            _write(sums, self._folder)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Write what this process has seen: the others may be gone."""
        self._count()
        if trainer.is_global_zero and not is_trial(trainer):
            _write(self._earlier + self._own, self._folder)

    def state_dict(self) -> dict[str, Any]:
        """Return the sums over all processes. Called on every rank."""
        return self._all().state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the sums of a checkpoint, which hold those of all processes until then."""
        self._earlier = PictureSums.from_state_dict(state_dict)
        self._own = PictureSums()
        self._pending.clear()

    def _count(self) -> None:
        if self._pending:
            names, losses, timesteps, weights = zip(*self._pending, strict=True)
            drawn = torch.cat(timesteps)  # to read it waits for the device, once for many batches
            counts = [weight > 0 for batch in weights for weight in batch]  # others only stand in
            counted = [a and b for a, b in zip(counts, (drawn < self._below).tolist(), strict=True)]
            columns = (
                [name for batch in names for name in batch],
                torch.cat(losses).tolist(),
                (drawn * BINS // self._total).tolist(),
            )
            self._own.add(*([*compress(column, counted)] for column in columns))
            self._pending.clear()

    def _all(self) -> PictureSums:
        self._count()
        sums = self._earlier + self._own
        if dist.is_available() and dist.is_initialized():
            gathered: list[Any] = [None] * dist.get_world_size()
            dist.all_gather_object(gathered, self._own.state_dict())
            sums = self._earlier
            for state_dict in gathered:
                sums = sums + PictureSums.from_state_dict(state_dict)
        return sums


def _write(sums: PictureSums, folder: Path) -> None:
    pictures = sums.summary()
    if pictures:
        write_picture_losses(RunFolder(folder).picture_losses, pictures)
