"""What a training step draws for each sample, and which numbers that is a function of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import lightning.pytorch as pl
import torch
import torch.distributed as dist
from torch import Tensor

from sdtune._samples import whole_numbers
from sdtune.functional import Stream, counter_randint, counter_randn, counter_random_state
from sdtune.techniques.prompt_encoding import PromptEncodingModule

__all__ = ["DrawingModule", "TrainingDraws"]

_ALONE = "batches_without_trainer"


class TrainingDraws:
    """Draws for a batch: functions of the seed, the epoch, and what tells a sample from others.

    A sample of sdtune's own loaders is told by its `index`, which no other sample of an epoch has:
    so other processes, and other sizes of batches, draw the same. Other loaders may show an index
    again and again, and a loop of one's own has no epochs: there the number of the batch, the
    process, and how often the batch had the index before, count, too.

    Args:
        seed: The run's seed.
        indices: (B,) the samples' `index`.
        trainer: What trains; None is a loop of one's own.
        number: Of the batch, in a loop of one's own.
    """

    def __init__(
        self, seed: int, indices: Sequence[int], trainer: pl.Trainer | None, number: int
    ) -> None:
        self._seed = seed
        self._epoch = 0 if trainer is None else trainer.current_epoch
        self._samples: list[tuple[int, ...]] = [(index,) for index in indices]
        if trainer is not None and _shows_each_once(trainer.train_dataloader):
            return
        batch = number if trainer is None else trainer.fit_loop.epoch_loop.batch_idx
        rank = dist.get_rank() if dist.is_available() and dist.is_initialized() else 0
        times = [indices[:place].count(index) for place, index in enumerate(indices)]
        self._samples = [
            (index, *_without_last_zeros(batch, rank, before))
            for index, before in zip(indices, times, strict=True)
        ]

    def normal(self, shape: Sequence[int], stream: Stream) -> Tensor:
        """Draw (B, *shape) standard normal numbers, float32 on the CPU."""
        return counter_randn(shape, self._seed, stream, self._epoch, self._samples)

    def timesteps(self, num_train_timesteps: int) -> Tensor:
        """Draw (B,) timesteps, int64 on the CPU."""
        stream = Stream.TIMESTEP
        return counter_randint(
            0, num_train_timesteps, self._seed, stream, self._epoch, self._samples
        )

    def random_state(self, device: torch.device) -> AbstractContextManager[None]:
        """Make dropout a function of the whole batch, inside."""
        counters = [number for sample in self._samples for number in sample]
        return counter_random_state(device, self._seed, Stream.DROPOUT, self._epoch, *counters)


class DrawingModule(PromptEncodingModule):
    """A technique whose training step draws, also in a loop without a Trainer.

    Args:
        **arguments: As for `PromptEncodingModule`.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._batches_alone = 0  # that a loop without a Trainer has asked for

    @property
    def is_training(self) -> bool:
        """Whether a Trainer trains, and does not validate meanwhile."""
        return self._trainer is not None and self._trainer.training

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep how far a loop without a Trainer has come, if there was one."""
        super().on_save_checkpoint(checkpoint)
        if self._batches_alone:
            checkpoint[_ALONE] = self._batches_alone

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Recall how far a loop without a Trainer had come."""
        super().on_load_checkpoint(checkpoint)
        self._batches_alone = int(checkpoint.get(_ALONE, 0))

    def _draws(self, batch: Mapping[str, Any], number: int | None) -> TrainingDraws:
        trainer = self._trainer if self.is_training else None
        if trainer is None:
            number = self._batches_alone if number is None else number
            self._batches_alone = number + 1
        return TrainingDraws(self.seed, whole_numbers(batch["index"]), trainer, number or 0)


def _without_last_zeros(*numbers: int) -> tuple[int, ...]:
    """Let what is drawn first be drawn by the index alone, as all is where that is enough."""
    used = max((place for place, number in enumerate(numbers, start=1) if number), default=0)
    return numbers[:used]


def _shows_each_once(loader: object) -> bool:
    return getattr(getattr(loader, "sampler", None), "shows_each_index_once", False)
