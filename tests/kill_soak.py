"""Runs that are killed with -9 at random moments and resumed, compared with runs that were not.

    python -m tests.kill_soak 1000              # kills; --seed N for others, --case lora for one
    python -m tests.kill_soak 1000 --tally soak.json     # goes on from what is counted there
    python -m tests.kill_soak 300 --everywhere           # at every moment that makes a difference

Each trial trains one of the cases on a model of random weights, and kills it: at a random moment,
or at a random one of its operations on the disk, which a seed repeats. A run is killed up to three
times and then let go on to its end. All that it leaves must be equal to the last bit: adapters, the
checkpoint's tensors, grids, curves point by point. Processes are forked from one that has imported
everything, so that a kill costs no start. With `--everywhere` nothing is left to chance: see
`tests.kill_sweep`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from sdtune.files.json_file import write_json
from tests.kill_bench import Bench, Tally
from tests.kill_sweep import sweep
from tests.killed_cases import CASES


def main() -> int:
    """Kill as often as the command line says, and tell what came of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kills", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", choices=sorted(CASES))
    parser.add_argument("--tally", type=Path, help="JSON file to count on in")
    parser.add_argument(
        "--everywhere", action="store_true", help="in each state of a run's folder, of each case"
    )
    parser.add_argument("--minutes", type=float, default=float("inf"), help="to stop after")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kill_soak_") as folder:
        bench = Bench(Path(folder))
        tally = _everywhere(bench, arguments) if arguments.everywhere else _soak(bench, arguments)
    print()  # noqa: T201
    return bool(tally.failures)


def _soak(bench: Bench, arguments: argparse.Namespace) -> Tally:
    tally, begin = Tally(seed=arguments.seed), time.monotonic()
    if arguments.tally is not None and arguments.tally.exists():
        tally = Tally(**json.loads(arguments.tally.read_text()))
    earlier = tally.seconds
    while tally.kills < arguments.kills:
        if time.monotonic() - begin > 60 * arguments.minutes:
            break
        known = len(tally.failures)
        bench.trial(tally.seed, arguments.case, (1, 3), tally)
        tally.seed += 1
        tally.seconds = round(earlier + time.monotonic() - begin, 1)
        if arguments.tally is not None:
            write_json(arguments.tally, asdict(tally))
        new = tally.failures[known:]
        print("\r" + "\n".join([str(tally), *new]), end="\n" * bool(new), flush=True)  # noqa: T201
    return tally


def _everywhere(bench: Bench, arguments: argparse.Namespace) -> Tally:
    """Kill runs of each case, or of one, in every state of their folders, up to the number."""
    tally, begin = Tally(), time.monotonic()
    for name in [arguments.case] if arguments.case else sorted(CASES):
        before, known = tally.kills, len(tally.failures)
        left = sweep(bench, name, tally, arguments.kills)
        tally.seconds = round(time.monotonic() - begin, 1)
        states = f"{tally.kills - before} states, {left} left"
        print("\n".join([f"{name}: {states}; {tally}", *tally.failures[known:]]), flush=True)  # noqa: T201
    return tally


if __name__ == "__main__":
    sys.exit(main())
