"""Batches whose samples all have one size, in an order that follows from the samples' own order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Share", "batches_of_one_size", "share_of_rank"]


@dataclass(frozen=True)
class Share:
    """One process's part of a batch.

    Attributes:
        indices: Of its samples, equally many in every process.
        together: Distinct samples that the batch has in all processes.
        weights: What each of its samples counts in a mean over the part, so that the mean over all
            processes is that over the distinct samples: 0 for those that only stand in. None if
            all count alike.
    """

    indices: list[int]
    together: int
    weights: list[float] | None = None


def batches_of_one_size(
    order: Iterable[int], sizes: Sequence[Hashable], batch_size: int
) -> list[list[int]]:
    """Fill batches size by size, in the order in which the samples come.

    A batch is done when it is full, and the ragged ones are last. So nothing is left out, nothing
    is drawn but the order itself, and where all samples have one size the batches are those of a
    plain loader.

    Args:
        order: Indices of samples.
        sizes: Size of each sample, by index.
        batch_size: Samples in a full batch.

    Returns:
        The batches: each index of `order` is in one of them, once.
    """
    filling: dict[Hashable, list[int]] = defaultdict(list)
    batches = []
    for index in order:
        batch = filling[sizes[index]]
        batch.append(index)
        if len(batch) == batch_size:
            batches.append(filling.pop(sizes[index]))
    return [*batches, *filling.values()]


def share_of_rank(batches: Iterable[Sequence[int]], rank: int, num_replicas: int) -> list[Share]:
    """Take one process's part of every batch.

    All processes get equally many samples of each, so that none waits for another that has less
    to do; where the number does not go up, the first samples of a batch stand in for what is
    missing, and count nothing. Together they train on what one process would with batches of
    `num_replicas` times the size.

    Args:
        batches: Batches of all processes together.
        rank: Which process this is.
        num_replicas: How many there are.

    Returns:
        A part of each.
    """
    shares = []
    for batch in batches:
        together, count = len(batch), -(-len(batch) // num_replicas)
        places = range(rank, count * num_replicas, num_replicas)
        indices = [batch[place % together] for place in places]
        if together == count * num_replicas:
            shares.append(Share(indices, together))
            continue
        counts = count * num_replicas / together
        weights = [counts if place < together else 0.0 for place in places]
        shares.append(Share(indices, together, weights))
    return shares
