"""What must hold of a run: small functions that train and assert."""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor

from tests.conformance.bench import Bench, Run, trace_of
from tests.conformance.row import Arguments, Check

__all__ = [
    "checkpoint_resumes",
    "clips",
    "equal",
    "is_refused",
    "same",
    "takes",
    "trains",
    "validates_at",
]

REFUSALS = (ImportError, MisconfigurationException, RuntimeError, TypeError, ValueError)


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Tell whether two states have the same names and bits."""
    return one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


def trains(bench: Bench, arguments: Arguments) -> Run:
    """Train: an optimizer step at least, which moves what learns, and stays finite."""
    run = bench.fit(**arguments)
    assert run.steps
    assert not equal(run.learned, bench.fresh())
    assert all(value.isfinite().all() for value in run.learned.values())
    assert all(value.dtype == torch.float32 for value in run.learned.values())
    return run


def same(bench: Bench, arguments: Arguments) -> Run:
    """Learn the same, to the last bit, as without the option."""
    run = bench.fit(**arguments)
    assert run.steps == bench.plain().steps
    assert equal(run.learned, bench.plain().learned)
    return run


def takes(steps: int, epochs: int | None = None) -> Check:
    """Make a check that a run takes so many optimizer steps, and so many epochs."""

    def check(bench: Bench, arguments: Arguments) -> None:
        run = bench.fit(**arguments)
        assert run.steps == steps
        if epochs is not None:
            assert run.trace.batches[-1][0] == epochs - 1

    return check


def validates_at(steps: list[int], sanity: int = 0) -> Check:
    """Make a check of the optimizer steps at which batches are validated."""

    def check(bench: Bench, arguments: Arguments) -> None:
        run = bench.fit(**{"limit_val_batches": 1, **arguments})
        assert run.trace.validated == steps
        assert run.trace.sanity == sanity

    return check


def clips(measure: str, bound: float) -> Check:
    """Make a check that gradients are clipped to a bound, and were larger before."""

    def check(bench: Bench, arguments: Arguments) -> None:
        run = trains(bench, arguments)
        free = bench.plain().trace
        assert max(getattr(run.trace, measure)) <= bound * 1.001
        assert max(getattr(free, measure)) > bound

    return check


def checkpoint_resumes(bench: Bench, run: Run, path: Path) -> None:
    """Go on from a checkpoint inside an epoch: what is learned is what an unbroken run learns."""
    checkpoint = torch.load(path, weights_only=True)
    assert set(checkpoint["state_dict"]) == set(run.learned), "more than what learns"
    assert 0 < checkpoint["global_step"] < bench.plain().steps
    resumed = bench.fit(ckpt_path=path)
    assert resumed.steps == bench.plain().steps
    assert equal(resumed.learned, bench.plain().learned)


def is_refused(bench: Bench, arguments: Arguments, sentence: str) -> None:
    """Be refused before the first batch of training, with a sentence."""
    trainers: list[pl.Trainer] = []

    def train() -> None:
        trainers.append(bench.trainer(**arguments))
        trainers[0].fit(bench.technique(), bench.data())

    with pytest.raises(REFUSALS) as caught:
        train()
    assert sentence in " ".join(str(caught.value).split())
    assert not any(trace_of(each).batches for each in trainers)
