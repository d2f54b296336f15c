"""What of a run changes with workers and threads: `python -m tests.benchmarks.same_bits`.

Each recipe of nano is trained for a few steps with no workers and one thread, then with two
workers, then with two threads, with caches of their own; adapters are compared value by value.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from sdtune.adapters.pipeline import find_adapter_files
from sdtune.adapters.tensor_comparison import TensorComparison, compare_adapters
from sdtune.cli import main as sdtune

RECIPES: Mapping[str, Sequence[str]] = {
    "style_lora": ("--data.caption_dropout=0",),
    "textual_inversion": (),
    "dreambooth": ("--data.class_count=4", "--model.class_inference_steps=2"),
    "pivotal_tuning": (),
    "multi_concept": ("--model.prior_loss_weight=0",),
}
WAYS = {"two workers": (2, 1), "two threads": (0, 2)}


def trained(recipe: str, folder: Path, steps: int, workers: int, threads: int) -> Path:
    """Train a recipe for a few steps; return its run folder.

    Args:
        recipe: Its name.
        folder: Where runs and caches go.
        steps: Optimizer steps.
        workers: Of the loader.
        threads: Of PyTorch.
    """
    name = f"{workers}_{threads}"
    os.environ["SDTUNE_CACHE"] = str(folder / f"cache_{name}")
    torch.set_num_threads(threads)
    words = ["fit", "--config", f"recipes/{recipe}.yaml", *RECIPES[recipe], "--run", name]
    words += [
        f"--trainer.max_steps={steps}",
        "--trainer.limit_val_batches=0",
        "--data.batch_size=2",
    ]
    words += ["--trainer.callbacks=null", f"--trainer.default_root_dir={folder}"]
    words += [f"--data.num_workers={workers}", "--data.cache_latents=false"]
    with contextlib.redirect_stdout(io.StringIO()):
        code = sdtune(words)
    if code != 0:
        raise RuntimeError(f"{recipe} ended with {code}.")
    return folder / recipe / name


def compared(recipe: str, folder: Path, steps: int) -> dict[str, TensorComparison]:
    """Compare each way with no workers and one thread: the file that differs most."""
    first = trained(recipe, folder, steps, 0, 1)
    found = {}
    for way, (workers, threads) in WAYS.items():
        other = trained(recipe, folder, steps, workers, threads)
        files = find_adapter_files(first)
        each = compare_adapters(files, other / "adapter")
        found[way] = max(each, key=lambda one: (not one.is_equal, one.largest))
    torch.set_num_threads(1)
    return found


def main() -> int:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--only", choices=[*RECIPES], nargs="*")
    arguments = parser.parse_args()
    print(f"| recipe, {arguments.steps} steps | {' | '.join(WAYS)} |")  # noqa: T201
    print("|---|" + "---|" * len(WAYS))  # noqa: T201
    with tempfile.TemporaryDirectory() as folder:
        for recipe in arguments.only or RECIPES:
            found = compared(recipe, Path(folder), arguments.steps)
            cells = " | ".join(
                "equal" if each.is_equal else f"{each.largest:.1e} of {each.magnitude:.1e}"
                for each in found.values()
            )
            print(f"| `{recipe}` | {cells} |", flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
