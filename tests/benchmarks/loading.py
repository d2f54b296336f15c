"""How long training waits for photos: `python -m tests.benchmarks.loading --step 0.5`."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from sdtune.data.style import StyleDataModule

_SIZE = (4000, 3000)


def make_photos(folder: Path, count: int) -> None:
    """Make JPEGs of 12 megapixels, smooth with some grain, as a camera's are.

    Args:
        folder: Where.
        count: How many.
    """
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    grain = generator.integers(0, 12, (_SIZE[1], _SIZE[0], 1), dtype=np.uint8)
    for number in range(count):
        small = Image.fromarray(generator.integers(0, 244, (30, 40, 3), dtype=np.uint8))
        smooth = np.asarray(small.resize(_SIZE, Image.Resampling.BICUBIC)) // 2
        Image.fromarray(smooth + grain).save(folder / f"{number}.jpg", quality=92)
        (folder / f"{number}.txt").write_text(f"photo {number}")


def measure(folder: Path, workers: int | None, step: float, batches: int) -> tuple[int, float]:
    """Take batches of random crops, each followed by a step on an accelerator.

    Args:
        folder: Photos.
        workers: Processes that read; None lets sdtune choose.
        step: Seconds that a step takes, during which this process does nothing.
        batches: How many are measured, after the first.

    Returns:
        How many processes read, and the share of time that was spent waiting.
    """
    data = StyleDataModule(
        folder,
        resolution=512,
        batch_size=4,
        crop="random",
        repeats=batches,
        num_workers=workers,
        cache_dir=folder.parent / "cache",
    )
    loader = data.train_dataloader()
    iterator = iter(loader)
    next(iterator)
    before, begin = loader.waited, time.monotonic()
    for _ in islice(iterator, batches):
        time.sleep(step)
    return loader.num_workers, (loader.waited - before) / (time.monotonic() - begin)


def main() -> None:
    """Measure without and with the workers that are chosen, and print the shares."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.loading", description=__doc__)
    parser.add_argument("--photos", type=int, default=8)
    parser.add_argument("--step", type=float, default=0.5, help="seconds of a step")
    parser.add_argument("--batches", type=int, default=10, help="of 4 random crops")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "photos"
        make_photos(folder, arguments.photos)
        for workers in (0, None):
            count, share = measure(folder, workers, arguments.step, arguments.batches)
            load = os.getloadavg()[0]
            print(f"{count} workers: {share:.0%} waiting, load {load:.1f}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
