"""The order of the samples as a function of (seed, epoch, rank), and an exact way back into it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import torch
from torch.utils.data import DataLoader, Dataset, SequentialSampler
from torch.utils.data.distributed import DistributedSampler

from sdtune.data.batches import Share, batches_of_one_size, share_of_rank
from sdtune.functional.randomness import Stream, counter_generator

__all__ = [
    "BatchKeys",
    "BatchOrder",
    "Batches",
    "FixedBatchOrder",
    "ResumableLoader",
    "Samples",
    "as_it_is",
    "collate",
]


class Samples(Protocol):
    """Samples that can be asked for by (epoch, index), and say which may stand in one batch."""

    def __len__(self) -> int: ...

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        """Make a sample."""
        ...

    def sizes(self) -> Sequence[Hashable]:
        """Give the size of each sample, by index: those of one size stand in one batch."""
        ...


class BatchKeys(list[tuple[int, int]]):
    """What a batch is asked for by: (epoch, index) pairs, and what of it the samples are.

    Args:
        epoch: The epoch.
        share: One process's part of a batch.
    """

    def __init__(self, epoch: int, share: Share) -> None:
        super().__init__((epoch, index) for index in share.indices)
        self.share = share

    def __reduce__(self) -> tuple[Any, ...]:  # a list's would fill it twice
        return type(self), (self[0][0], self.share)


class BatchOrder(DistributedSampler[list[tuple[int, int]]]):
    """Yields `BatchKeys`, (epoch, index) pairs, each of samples of one size.

    With the epoch, a data set can draw by it in whatever worker it runs. It is a
    DistributedSampler because the Trainer puts its own in the place of any other when it runs on
    more than one device.

    Args:
        samples: What is sampled; their number and sizes count.
        batch_size: Samples in a batch, on each device.
        seed: Seed of the order.
        shuffle: Whether every epoch has its own order.
        num_replicas: Number of processes that share the samples.
        rank: Which of them this is.

    Attributes:
        shows_each_index_once: That no index comes twice in an epoch, so that a technique can draw
            by it, whatever the batches are.
    """

    shows_each_index_once: ClassVar[bool] = True

    def __init__(
        self,
        samples: Samples,
        *,
        batch_size: int,
        seed: int,
        shuffle: bool = True,
        num_replicas: int = 1,
        rank: int = 0,
    ) -> None:
        super().__init__(samples, num_replicas, rank, shuffle, seed)  # type: ignore[arg-type]
        self.samples = samples
        self.batch_size = batch_size
        self._resume_epoch = 0
        self._skipped = 0
        self._count: int | None = None
        self._sizes_digest: str | None = None

    def __len__(self) -> int:
        """Return the number of batches in an epoch, which is that of every rank and epoch."""
        if self._count is None:
            self._count = len(self._whole_batches(range(len(self.samples))))
        return self._count

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order: Sequence[int] = range(len(self.samples))
        if self.shuffle:
            generator = counter_generator(self.seed, Stream.ORDER, self.epoch)
            order = torch.randperm(len(order), generator=generator).tolist()
        mine = share_of_rank(self._whole_batches(order), self.rank, self.num_replicas)
        # only when the first batch is asked for: a loader with workers makes an iterator too many
        epoch, skipped = self.epoch, self._skipped if self.epoch == self._resume_epoch else 0
        self._skipped = 0
        for share in mine[skipped:]:
            yield BatchKeys(epoch, share)

    def resume(self, epoch: int, skipped: int) -> None:
        """Go on in the middle of an epoch.

        Args:
            epoch: The epoch to go on in.
            skipped: Batches of this rank that were seen in it; they are left out this once.
        """
        self.set_epoch(epoch)
        self._resume_epoch, self._skipped = epoch, skipped

    def describe(self) -> dict[str, int | str]:
        """Say what a place in the order depends on."""
        described: dict[str, int | str] = {
            "samples per epoch": len(self.samples),
            "batch size": self.batch_size,
            "seed of the order": self.seed,
            "number of processes": self.num_replicas,
        }
        if self._sizes_digest is None:  # every checkpoint asks
            sizes = self.samples.sizes()
            is_one = len(set(sizes)) <= 1
            digest = "" if is_one else hashlib.sha256(repr(list(sizes)).encode()).hexdigest()
            self._sizes_digest = digest[:12]
        if self._sizes_digest:
            described["sizes of the samples"] = self._sizes_digest
        return described

    def _whole_batches(self, order: Sequence[int]) -> list[list[int]]:
        """Batches of all ranks together."""
        return batches_of_one_size(order, self.samples.sizes(), self.batch_size * self.num_replicas)


class FixedBatchOrder(BatchOrder, SequentialSampler):  # type: ignore[misc]  # of batches
    """The same batches every epoch, which the Trainer knows: `overfit_batches` leaves it alone."""


class Batches(Dataset[dict[str, Any]]):
    """Whole batches of a data set, by lists of (epoch, index) pairs.

    Args:
        samples: The data set.
    """

    def __init__(self, samples: Samples) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, keys: Sequence[tuple[int, int]]) -> dict[str, Any]:
        """Make a batch.

        Args:
            keys: Of `BatchOrder`, or plain pairs.

        Returns:
            As `collate`. If some samples only stand in, so that all processes have equally many,
            also `sample_weights`, a list of B numbers whose mean over all samples of all processes
            is 1, and `together`, the distinct samples that these have.
        """
        batch = collate([self.samples[key] for key in keys])
        share = keys.share if isinstance(keys, BatchKeys) else None
        if share is None or share.weights is None:
            return batch
        return {**batch, "sample_weights": share.weights, "together": share.together}


class ResumableLoader(DataLoader[dict[str, Any]]):
    """A DataLoader over a `BatchOrder` that refuses to resume another order than was begun.

    Where to go on is in the Trainer's counters; the loader's state only says what they count. Other
    processes may go on, if the batches of all of them together are as large.

    Attributes:
        waited: Seconds for which its batches were waited for, or read, since it was made.
    """

    waited: float = 0.0

    def __iter__(self) -> Iterator[dict[str, Any]]:  # type: ignore[override]  # no need of more
        batches = super().__iter__()
        while True:
            begin = time.monotonic()
            batch = next(batches, None)
            self.waited += time.monotonic() - begin
            if batch is None:
                return
            yield batch

    def state_dict(self) -> dict[str, int | str]:
        """Describe the order: number of samples, batch size, seed, number of processes, sizes."""
        if not isinstance(self.sampler, BatchOrder):
            raise TypeError(f"Expected a BatchOrder, but got {type(self.sampler).__name__}.")
        return self.sampler.describe()

    def load_state_dict(self, state_dict: dict[str, int | str]) -> None:
        """Compare with the order that a checkpoint was written in.

        Args:
            state_dict: What `state_dict` returned then.

        Raises:
            ValueError: If the order is another, so that counters into it mean nothing.
        """
        before = _place_in(state_dict)
        wrong = [
            f"{name} to be {before[name]}, but got {value}"
            for name, value in _place_in(self.state_dict()).items()
            if before.get(name, value) != value
        ]
        if wrong:
            raise ValueError(
                f"Expected {'; '.join(wrong)}: a run that stopped inside an epoch goes on with "
                "the data and the batches that it began with. Restore them, or start a new run."
            )


def _place_in(described: Mapping[str, int | str]) -> dict[str, int | str]:
    """Take of a description what a place in the order depends on: the batches of all processes."""
    place = dict(described)
    size, processes = place.pop("batch size", None), place.pop("number of processes", 1)
    if isinstance(size, int) and isinstance(processes, int):  # a stranger's may be anything
        place["`data.batch_size` times the number of processes"] = size * processes
    return place


def as_it_is(batch: Any) -> Any:
    """Hand a batch on that is made already."""
    return batch


def collate(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Make a batch of samples.

    Args:
        samples: B samples of one size.

    Returns:
        Tensors stacked along a first dimension B; `caption`, `index` and `name` as lists. Indices
        stay numbers because randomness is drawn from them on the CPU, and reading a tensor back
        from a GPU would wait for it.
    """
    return {
        name: torch.stack([sample[name] for sample in samples])
        if isinstance(first, torch.Tensor)
        else [sample[name] for sample in samples]
        for name, first in samples[0].items()
    }
