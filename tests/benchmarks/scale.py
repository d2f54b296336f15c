"""Time and memory of large sets: `python -m tests.benchmarks.scale --count 100000`."""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

_FILES = 64  # different pictures, of four shapes; all others are links to these
_SHAPES = ((96, 64), (64, 96), (64, 64), (128, 64))
_IN_A_FOLDER = 1_000


def make_set(folder: Path, count: int, symbolic: bool = False) -> None:
    """Make pictures by linking a few files, named by one `metadata.jsonl`.

    Args:
        folder: Where; made if absent.
        count: How many pictures.
        symbolic: Whether links are symbolic; else a picture is one more name of a file.
    """
    originals = folder / "00000"
    originals.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    files = []
    for number in range(min(_FILES, count)):
        width, height = _SHAPES[number % len(_SHAPES)]
        pixels = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
        files.append(originals / f"{number:07d}.png")
        Image.fromarray(pixels).save(files[-1])
    link = os.symlink if symbolic else os.link
    with (folder / "metadata.jsonl").open("w") as metadata:
        for number in range(count):
            name = f"{number // _IN_A_FOLDER:05d}/{number:07d}.png"
            if number >= len(files):
                if number % _IN_A_FOLDER == 0:
                    (folder / name).parent.mkdir(exist_ok=True)
                link(files[number % len(files)], folder / name)
            line = {"file_name": name, "text": f"picture {number} of something, in some style"}
            metadata.write(json.dumps(line) + "\n")


def resident() -> float:
    """Return the megabytes of memory that this process holds now, files that it maps left out."""
    with open("/proc/self/status") as file:
        rows = dict(line.split(":", 1) for line in file)
    return int(rows["RssAnon"].split()[0]) * 1024 / 1e6


def index(folder: Path, batches: int) -> None:
    """Read a set as the start of a run does, take batches, and print what that took.

    Args:
        folder: The set.
        batches: How many.
    """
    from sdtune.data.style import StyleDataModule

    figures: dict[str, float] = {"megabytes before": resident()}
    data = StyleDataModule(
        folder, resolution=64, batch_size=8, num_workers=0, cache_dir=folder.parent / "cache"
    )
    begin, busy = time.monotonic(), time.process_time()
    data.setup("fit")
    figures["seconds of setup"] = time.monotonic() - begin
    loader = iter(data.train_dataloader())
    next(loader)
    figures["seconds to the first batch"] = time.monotonic() - begin
    figures["seconds of the processor until then"] = time.process_time() - busy
    figures["megabytes at the first batch"] = resident()
    for number, _ in enumerate(islice(loader, batches)):
        if number == batches // 2:
            figures["megabytes at half of the batches"] = resident()
    figures["megabytes at the last batch"] = resident()
    figures["megabytes at most"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(json.dumps({name: round(value, 1) for name, value in figures.items()}))  # noqa: T201


def measure(folder: Path, batches: int) -> dict[str, Any]:
    """Run `index` in a process of its own, so that memory is that of this alone."""
    command = [sys.executable, "-m", "tests.benchmarks.scale", "--index", str(folder)]
    done = subprocess.run(
        [*command, "--batches", str(batches)], check=True, capture_output=True, text=True
    )
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


@contextmanager
def _timed(what: str, say: Callable[..., object]) -> Iterator[None]:
    begin = time.monotonic()
    yield
    say(f"{what}: {time.monotonic() - begin:.0f} s")


def main() -> None:
    """Make a set, read it for the first and for the second time, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale", description=__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="pictures")
    parser.add_argument("--batches", type=int, default=2_000, help="of 8 pictures, after the first")
    parser.add_argument("--symbolic", action="store_true", help="links are symbolic")
    parser.add_argument("--folder", type=Path, help="where the set is made; else a temporary one")
    parser.add_argument("--index", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.index:
        index(arguments.index, arguments.batches)
        return
    print(f"{arguments.count} pictures, load {os.getloadavg()[0]:.1f}")  # noqa: T201
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name) / "pictures"
        with _timed("made in", print):
            make_set(folder, arguments.count, arguments.symbolic)
        for which in ("first", "second"):
            print(f"{which} start: {measure(folder, arguments.batches)}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
