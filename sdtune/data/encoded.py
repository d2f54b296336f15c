"""What the VAE made of parts of pictures: under which keys it is kept, and how it gets there."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from sdtune.data.buckets import Size
from sdtune.data.decoding import read_part
from sdtune.data.transforms import Box, to_pixel_values
from sdtune.files.feature_store import FeatureStore

__all__ = ["Encode", "Encoded", "Part", "at_once", "encode_parts", "latent_key"]

Encode = Callable[[Tensor], Tensor]

# part of every key: raise it when pictures are read, resized or stored in another way
VERSION = 5  # 5: greys of 16 bits and their transparent colours are read as they are meant

_MOMENTS = "moments"
_PIXELS_AT_ONCE = 2**21  # eight pictures of 512 x 512
_PARTS_AT_ONCE = 10_000  # keys that are looked up together
_VERIFIED_AT_MOST = 10_000  # parts: so many are read before training, more when they are needed
_SHOW_PROGRESS_ABOVE = 500


@dataclass(frozen=True)
class Part:
    """A part of a picture as the VAE reads it.

    Attributes:
        path: The picture.
        sha256: Of the bytes of its file, in hexadecimal.
        target: Width and height that the VAE reads, in pixels.
        box: The part of the picture; see `sdtune.data.transforms.crop_box`.
        flipped: Whether it is read mirrored.
    """

    path: Path
    sha256: str
    target: Size
    box: Box
    flipped: bool


@dataclass(frozen=True)
class Encoded:
    """Moments of the posterior of parts that were encoded before.

    Attributes:
        store: Where they are.
        encoder: What the VAE is: its identity, its dtype.
    """

    store: FeatureStore
    encoder: str

    def moments(self, part: Part) -> Tensor:
        """Read a part's moments.

        Args:
            part: The part.

        Returns:
            (2C, h, w) float32 mean and log-variance, on the CPU.

        Raises:
            RuntimeError: If they are not there any more.
        """
        found = self.store.get(latent_key(part, self.encoder))
        if found is None:
            raise RuntimeError(
                f"Expected the latents of {part.path} in {self.store.folder}, but they were "
                "deleted or damaged since training began: go on with `--resume`, which encodes "
                "what is missing."
            )
        return found[_MOMENTS]


def latent_key(part: Part, encoder: str) -> bytes:
    """Name a latent by its content, so that a stale one is never found.

    Args:
        part: What is encoded.
        encoder: What the VAE is: its identity, its dtype.

    Returns:
        32 bytes.
    """
    parts = f"latents {VERSION} {part.sha256} {encoder} {part.target} {part.box} {part.flipped}"
    return hashlib.sha256(parts.encode()).digest()


def at_once(target: Size, device: torch.device | str) -> int:
    """Say how many parts go through the VAE together.

    On a CPU one by one: nothing is gained there by more, and bits are (measured: batches of eight
    take as long or twice as long, and differ by 1e-6). On a GPU as many as make two million
    pixels, 16 at most, always that many, so that a picture's latents depend on no other.

    Args:
        target: Width and height, in pixels.
        device: Where the VAE is.

    Returns:
        1 or more.
    """
    if torch.device(device).type == "cpu":
        return 1
    return max(1, min(16, _PIXELS_AT_ONCE // (target[0] * target[1])))


@torch.no_grad()
def encode_parts(
    parts: Iterable[Part],
    count: int,
    encode: Encode,
    encoded: Encoded,
    device: torch.device | str = "cpu",
) -> None:
    """Encode parts that are not in the store yet. Files are read on all cores meanwhile.

    Args:
        parts: The parts.
        count: How many there are.
        encode: The VAE: (B, 3, H, W) in [-1, 1] to (B, 2C, h, w) mean and log-variance. It is
            given parts of one size, as many as `at_once` says, the last of them repeated if there
            are less.
        encoded: Where they are looked up and kept.
        device: Where the VAE is.

    Raises:
        ValueError: If a file is not what it was, or the VAE returns a number that is not finite.
    """
    quiet = None if count > _SHOW_PROGRESS_ABOVE else True  # None: where nobody looks
    waiting: dict[Size, list[tuple[Part, Tensor]]] = {}
    with _Progress(total=count, desc="Encoding pictures", unit="", disable=quiet) as progress:
        try:
            missing = _missing(parts, encoded, count <= _VERIFIED_AT_MOST, progress.update)
            for part, pixel_values in _read_ahead(missing):
                group = waiting.setdefault(part.target, [])
                group.append((part, pixel_values))
                if len(group) == at_once(part.target, device):
                    _encode(waiting.pop(part.target), encode, encoded, device)
            for group in waiting.values():
                _encode(group, encode, encoded, device)
        finally:
            encoded.store.flush()


class _Progress(tqdm):  # type: ignore[misc]  # it has no types
    """tqdm without the thread that watches it: loaders fork processes, which would wait for it."""

    monitor_interval = 0


def _missing(
    parts: Iterable[Part], encoded: Encoded, verify: bool, seen: Callable[[int], object]
) -> Iterator[Part]:
    remaining = iter(parts)
    while group := list(islice(remaining, _PARTS_AT_ONCE)):
        keys = [latent_key(part, encoded.encoder) for part in group]
        for key in keys if verify else ():
            encoded.store.get(key)  # damage costs a whole shard, so all is looked at before
        absent = set(encoded.store.missing(keys))
        for part, key in zip(group, keys, strict=True):
            if key in absent:
                absent.remove(key)  # of two that are alike, one is encoded
                yield part
            seen(1)


def _read_ahead(parts: Iterable[Part]) -> Iterator[tuple[Part, Tensor]]:
    """Read files in threads, a few ahead of the VAE."""
    threads = min(8, os.cpu_count() or 1)
    ahead: deque[tuple[Part, Future[Tensor]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for part in parts:
            ahead.append((part, pool.submit(_read, part)))
            if len(ahead) > 2 * threads:
                part, pixel_values = ahead.popleft()
                yield part, pixel_values.result()
        for part, pixel_values in ahead:
            yield part, pixel_values.result()


def _read(part: Part) -> Tensor:
    with part.path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != part.sha256:
            raise ValueError(
                f"Expected {part.path} to be as it was when it was looked at, but it has changed: "
                "start again."
            )
    return to_pixel_values(read_part(part.path, part.target, part.box), part.flipped)


def _encode(
    group: Sequence[tuple[Part, Tensor]],
    encode: Encode,
    encoded: Encoded,
    device: torch.device | str,
) -> None:
    full = at_once(group[0][0].target, device)
    rows = [pixel_values for _, pixel_values in group]
    rows += rows[-1:] * (full - len(rows))
    moments = encode(torch.stack(rows).to(device)).to("cpu", torch.float32)
    for (part, _), found in zip(group, moments, strict=False):  # what was repeated is left out
        if not found.isfinite().all():
            raise ValueError(
                f"Expected finite latents, but the VAE returned NaN or infinity for {part.path}: "
                "use `trainer.precision` 32-true or bf16-mixed."
            )
        encoded.store.put(latent_key(part, encoded.encoder), {_MOMENTS: found.clone()})
