"""Train nano on the shapes of the paper's two sets: `python benchmarks/paper_sets.py`.

The pictures are made here: 122 of 890x490, as the paper's paintings, and ten of 3024x4032 that a
phone stores lying, with their orientation in EXIF. Each set is trained on twice, in processes of
their own: with an empty cache, and with what the first run kept in it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from sdtune.data.transforms import share_kept

_RECIPE = """\
trainer:
  max_steps: {steps}
  accelerator: cpu
  callbacks: [{{class_path: sdtune.Progress}}]
model: {{class_path: sdtune.LoRAStyleModule, init_args: {{base: nano, rank: 32, alpha: 32}}}}
data: {{class_path: sdtune.StyleDataModule, init_args: {{folder: {folder}, batch_size: {batch}}}}}
"""
_ORIENTATION = 0x0112
_TURN_RIGHT = 6

_SETS = {
    "122 of 890x490": (122, (890, 490), None, 6),
    "10 of 3024x4032": (10, (4032, 3024), _TURN_RIGHT, 2),
}


def make_set(folder: Path, count: int, size: tuple[int, int], orientation: int | None) -> None:
    """Make JPEGs, smooth with some grain, and a caption beside each.

    Args:
        folder: Where.
        count: How many.
        size: Width and height as they are stored, in pixels.
        orientation: What EXIF says of them; None says nothing.
    """
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    exif = Image.Exif()
    if orientation is not None:
        exif[_ORIENTATION] = orientation
    grain = generator.integers(0, 12, (size[1], size[0], 1), dtype=np.uint8)
    for number in range(count):
        small = Image.fromarray(generator.integers(0, 244, (24, 32, 3), dtype=np.uint8))
        smooth = np.asarray(small.resize(size, Image.Resampling.BICUBIC)) // 2
        picture = Image.fromarray(smooth + grain)
        picture.save(folder / f"{number:03}.jpg", quality=92, exif=exif)
        (folder / f"{number:03}.txt").write_text(f"painting {number} of colours in a style")


def train(recipe: Path, root: Path, run: str) -> dict[str, float]:
    """Run `sdtune fit` in a process of its own.

    Args:
        recipe: The recipe.
        root: Where the cache and the run are.
        run: The run's name.

    Returns:
        `seconds`, those of the `processor`, the most `megabytes` held at once, and the shares of
        pixels `kept` in the mean and the `least` of one picture.
    """
    environment = {**os.environ, "SDTUNE_CACHE": str(root / "cache"), "HF_HUB_OFFLINE": "1"}
    words = ["fit", "--config", str(recipe), f"--trainer.default_root_dir={root}", f"--run={run}"]
    begin = time.monotonic()
    with (root / f"{run}.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "sdtune", *words],
            env=environment, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        _, status, used = os.wait4(process.pid, 0)
    if status != 0:
        raise RuntimeError((root / f"{run}.log").read_text())
    survey = json.loads((root / recipe.stem / run / "data.json").read_text())
    return {
        "seconds": time.monotonic() - begin,
        "processor": used.ru_utime + used.ru_stime,
        "megabytes": used.ru_maxrss * 1024 / 1e6,
        "kept": survey["kept"],
        "least": survey["smallest_kept"],
    }


def main() -> None:
    """Measure both sets, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100)
    steps = parser.parse_args().steps
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    print("| set | cache | seconds | of the processor | MB at most | pixels kept | as squares |")
    print("|---|---|---|---|---|---|---|")
    for title, (count, size, orientation, batch) in _SETS.items():
        with tempfile.TemporaryDirectory() as name:
            root = Path(name)
            make_set(root / "pictures", count, size, orientation)
            recipe = root / "paper_set.yaml"
            recipe.write_text(_RECIPE.format(steps=steps, folder=root / "pictures", batch=batch))
            square = share_kept(size, (64, 64))
            for cache in ("empty", "filled"):
                found = train(recipe, root, cache)
                kept = f"{found['kept']:.0%}, the least {found['least']:.0%}"
                print(
                    f"| {title} | {cache} | {found['seconds']:.0f} | {found['processor']:.0f} | "
                    f"{found['megabytes']:.0f} | {kept} | {square:.0%} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
