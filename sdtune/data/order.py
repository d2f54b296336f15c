"""The order of the samples as a function of (seed, epoch, rank), and an exact way back into it."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from typing import Any

import torch
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

from sdtune.functional.randomness import Stream, counter_generator

__all__ = ["ResumableLoader", "ResumableSampler"]


class ResumableSampler(DistributedSampler[tuple[int, int]]):
    """Yields (epoch, index) pairs, so that a data set can draw by epoch in whatever worker it runs.

    It is a DistributedSampler because the Trainer puts its own in the place of any other when it
    runs on more than one device.

    Args:
        samples: What is sampled; only its length counts.
        seed: Seed of the order.
        shuffle: Whether every epoch has its own order.
        num_replicas: Number of processes that share the samples.
        rank: Which of them this is.
    """

    def __init__(
        self,
        samples: Sized,
        *,
        seed: int,
        shuffle: bool = True,
        num_replicas: int = 1,
        rank: int = 0,
    ) -> None:
        super().__init__(samples, num_replicas, rank, shuffle, seed)  # type: ignore[arg-type]
        self._resume_epoch = 0
        self._skipped = 0

    def resume(self, epoch: int, skipped: int) -> None:
        """Go on in the middle of an epoch.

        Args:
            epoch: The epoch to go on in.
            skipped: Samples of this rank that were seen in it; they are left out this once.
        """
        self.set_epoch(epoch)
        self._resume_epoch, self._skipped = epoch, skipped

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = torch.arange(len(self.dataset))  # type: ignore[arg-type]
        if self.shuffle:
            generator = counter_generator(self.seed, Stream.ORDER, self.epoch)
            order = torch.randperm(len(order), generator=generator)
        # ranks get equally many samples: the first of the order stand in for what is missing
        padded = order.repeat(-(-self.total_size // len(order)))[: self.total_size]
        mine = padded[self.rank :: self.num_replicas].tolist()
        skipped = self._skipped if self.epoch == self._resume_epoch else 0
        self._skipped = 0
        return iter([(self.epoch, index) for index in mine[skipped:]])


class ResumableLoader(DataLoader[dict[str, Any]]):
    """A DataLoader over a `ResumableSampler` that refuses to resume another order than was begun.

    Where to go on is in the Trainer's counters; the loader's state only says what they count.
    """

    def state_dict(self) -> dict[str, int]:
        """Describe the order: number of samples, batch size, seed and number of processes."""
        sampler = self.sampler
        if not isinstance(sampler, ResumableSampler):
            raise TypeError(f"Expected a ResumableSampler, but got {type(sampler).__name__}.")
        return {
            "samples per epoch": len(sampler.dataset),  # type: ignore[arg-type]
            "batch size": self.batch_size or 1,
            "seed of the order": sampler.seed,
            "number of processes": sampler.num_replicas,
        }

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Compare with the order that a checkpoint was written in.

        Args:
            state_dict: What `state_dict` returned then.

        Raises:
            ValueError: If the order is another, so that counters into it mean nothing.
        """
        wrong = [
            f"{name} to be {state_dict[name]}, but got {value}"
            for name, value in self.state_dict().items()
            if state_dict.get(name, value) != value
        ]
        if wrong:
            raise ValueError(
                f"Expected {'; '.join(wrong)}: a run that stopped inside an epoch goes on with "
                "the data and the batches that it began with. Restore them, or start a new run."
            )
