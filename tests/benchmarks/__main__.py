"""Print the table of the benchmarks: `python -m tests.benchmarks [--threads 2] [--rounds 9]`."""

from __future__ import annotations

import argparse
import logging
import tempfile
import warnings
from pathlib import Path

import torch

from sdtune.bench.paired_timer import PairedTimer
from sdtune.bench.random_bases import random_base
from tests.benchmarks.suite import TECHNIQUES, measure_overhead, measure_textual_inversion


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--threads", type=int, default=1, help="1: time computed; else: elapsed")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", choices=[*TECHNIQUES, "peers"], nargs="*")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    wanted = arguments.only or [*TECHNIQUES, "peers"]
    print(f"{'technique':50} {'beside':10} {'ms':>8} {'its ms':>8} {'speed':>7}")  # noqa: T201
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for technique in [each for each in TECHNIQUES if each in wanted]:
            timer = measure_overhead(TECHNIQUES[technique], folder / technique, arguments.rounds)
            _print_row(f"{technique}, nano", "bare", timer)
        if "peers" in wanted:
            small = random_base("small", folder)
            for base, model in (("nano", "nano"), (str(small), "SD 1's proportions")):
                timer = measure_textual_inversion(base, folder / model, arguments.rounds)
                for loop in ("bare", "plain"):
                    _print_row(f"textual_inversion, {model}, batch 1", loop, timer)


def _print_row(technique: str, loop: str, timer: PairedTimer) -> None:
    ours, other = timer.milliseconds("sdtune"), timer.milliseconds(loop)
    row = f"{technique:50} {loop:10} {ours:8.1f} {other:8.1f} {timer.ratio(loop):6.2f}x"
    print(row, flush=True)  # noqa: T201


main()
