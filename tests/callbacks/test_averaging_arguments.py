"""What is told of a callback that averages is what it was made with, and stays so."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.callbacks import EMAWeightAveraging, LearningRateMonitor

from sdtune.callbacks.averaging_arguments import averages_of


class Counting(EMAWeightAveraging):
    def __init__(self, pace: float) -> None:
        super().__init__(decay=0.5, update_starting_at_step=3)
        self.pace = pace
        self.updates = 0
        self.folder = ""


def test_what_a_callback_keeps_besides_may_change() -> None:
    averaging = Counting(0.25)
    callbacks: list[Any] = [averaging, LearningRateMonitor()]
    arguments = "decay=0.5, pace=0.25, update_every_n_steps=1, update_starting_at_step=3"
    assert averages_of(callbacks) == [f"Counting({arguments})"]
    averaging.updates, averaging.folder = 7, "runs/second"
    assert averages_of(callbacks) == [f"Counting({arguments})"]
