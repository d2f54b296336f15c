"""Counter-based randomness: every draw is a function of named counters, never of hidden state.

Noise, timesteps, flips, caption dropout and data order are computed from
`(seed, stream, epoch, index)`. A resumed run therefore repeats an uninterrupted one exactly,
whatever the number of workers or devices, and nothing has to be stored for it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from enum import IntEnum
from hashlib import blake2b

import torch
from torch import Tensor

__all__ = [
    "Stream",
    "counter_generator",
    "counter_rand",
    "counter_randint",
    "counter_randn",
    "counter_random_state",
    "counter_uniform",
    "isolated_random_state",
]


Counters = int | tuple[int, ...]


class Stream(IntEnum):
    """What a draw is for, so that two draws at the same counters are unrelated.

    The numbers are part of what a seed means: append new streams, never renumber.
    """

    NOISE = 0
    TIMESTEP = 1
    POSTERIOR = 2
    OFFSET = 3
    CAPTION_DROPOUT = 4
    FLIP = 5
    CROP = 6
    ORDER = 7
    SPLIT = 8
    VALIDATION = 9
    INITIALIZATION = 10
    AUGMENTATION = 11
    DROPOUT = 12
    CLASS_ORDER = 13
    TEMPLATE = 14
    BOOTSTRAP = 16
    MIXTURE = 17
    CAPTION = 18
    TAGS = 19
    SAMPLING = 20


def counter_generator(seed: int, *counters: int) -> torch.Generator:
    """Make a CPU generator whose state is a hash of a seed and any number of counters.

    Args:
        seed: The seed of the run or of the picture.
        *counters: Integers that tell this draw from the others, such as stream, epoch and index.

    Returns:
        A fresh CPU generator. Neighbouring counters give unrelated generators.
    """
    return torch.Generator().manual_seed(_hash(seed, *counters))


def counter_uniform(seed: int, *counters: int) -> float:
    """Draw one uniform number without a generator: cheap enough for a data loader's workers.

    Args:
        seed: The seed of the run.
        *counters: Integers that tell this draw from the others: stream, epoch, index, …

    Returns:
        A float in [0, 1) with 53 random bits.
    """
    return (_hash(seed, *counters) >> 11) * 2.0**-53


def counter_randn(
    shape: Sequence[int], seed: int, stream: Stream, epoch: int, indices: Sequence[Counters]
) -> Tensor:
    """Draw standard normal noise with one generator per sample.

    Args:
        shape: Shape of one sample's noise, for instance (C, h, w).
        seed: The seed of the run.
        stream: What the noise is for.
        epoch: The epoch, or 0 for draws that never change.
        indices: (B,) position of each sample in the data set, or numbers that tell it apart.

    Returns:
        (B, *shape) float32 on the CPU; row i depends on `indices[i]`, not on i.
    """
    return _per_sample(
        lambda generator: torch.randn(tuple(shape), generator=generator),
        seed, stream, epoch, indices,
    )  # fmt: skip


def counter_rand(
    shape: Sequence[int], seed: int, stream: Stream, epoch: int, indices: Sequence[Counters]
) -> Tensor:
    """Draw uniform numbers with one generator per sample.

    Args:
        shape: Shape of one sample's draw; () for one number.
        seed: The seed of the run.
        stream: What the numbers are for.
        epoch: The epoch, or 0 for draws that never change.
        indices: (B,) position of each sample in the data set, or numbers that tell it apart.

    Returns:
        (B, *shape) float32 in [0, 1) on the CPU.
    """
    return _per_sample(
        lambda generator: torch.rand(tuple(shape), generator=generator),
        seed, stream, epoch, indices,
    )  # fmt: skip


def counter_randint(
    low: int, high: int, seed: int, stream: Stream, epoch: int, indices: Sequence[Counters]
) -> Tensor:
    """Draw one integer per sample.

    Args:
        low: Smallest value.
        high: One above the largest value.
        seed: The seed of the run.
        stream: What the integers are for.
        epoch: The epoch, or 0 for draws that never change.
        indices: (B,) position of each sample in the data set, or numbers that tell it apart.

    Returns:
        (B,) int64 in [low, high) on the CPU.

    Raises:
        ValueError: If the range is empty.
    """
    if high <= low:
        raise ValueError(f"Expected `high` to be above `low`, but got {low} and {high}.")
    return _per_sample(
        lambda generator: torch.randint(low, high, (), generator=generator),
        seed, stream, epoch, indices,
    )  # fmt: skip


def _per_sample(
    draw: Callable[[torch.Generator], Tensor],
    seed: int,
    stream: Stream,
    epoch: int,
    indices: Sequence[Counters],
) -> Tensor:
    # int() so that a (B,) tensor of indices, as a batch holds it, works too
    counters = (each if isinstance(each, tuple) else (int(each),) for each in indices)
    return torch.stack([draw(counter_generator(seed, stream, epoch, *each)) for each in counters])


def _hash(*integers: int) -> int:
    # int(): an element of a tensor has no whole numbers of 64 bits without a sign
    packed = struct.pack(f"<{len(integers)}Q", *(int(number) % 2**64 for number in integers))
    return int.from_bytes(blake2b(packed, digest_size=8).digest(), "little")


@contextmanager
def counter_random_state(
    device: torch.device, seed: int, stream: Stream, *counters: int
) -> Iterator[None]:
    """Make what torch draws from its global state a function of counters, for a while.

    Args:
        device: Whose state is meant, beside the CPU's.
        seed: As in `counter_generator`.
        stream: Likewise.
        *counters: Likewise.
    """
    generator = counter_generator(seed, stream, *counters)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(generator.initial_seed())
        yield


def isolated_random_state() -> AbstractContextManager[None]:
    """Put the global random state back on leaving, on the CPU and the current GPU.

    For calls of libraries that draw from it, where what they draw is not wanted.

    Returns:
        A context manager.
    """
    # naming the device: by default all GPUs are forked, which wakes each of them
    is_awake = torch.cuda.is_initialized()
    return torch.random.fork_rng(devices=[torch.cuda.current_device()] if is_awake else [])
