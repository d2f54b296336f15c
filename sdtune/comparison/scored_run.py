"""A run that is carried out while its scores are read, and that may be ended by them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sdtune.comparison.execution import CarryOut, Outcome, read_outcome, write_outcome
from sdtune.comparison.planning import PlannedRun
from sdtune.files.json_file import JsonFileError
from sdtune.run_folder.layout import RunFolder
from sdtune.run_folder.record import Evaluation
from sdtune.run_folder.run_process import training_process

__all__ = ["ScoredRun"]

_PAUSE = 1.0  # seconds


class ScoredRun:
    """Carries a run out in a thread, and gives its scores one after the other as they come.

    One that is finished, or was ended by its scores before, is read and not started.

    Args:
        plan: The run.
        metric: Which figure of each checkpoint, a key of evaluation.json.
        carry_out: Sees to it that the run is there.
        pause: Waits between two looks.
    """

    def __init__(
        self,
        plan: PlannedRun,
        metric: str,
        carry_out: CarryOut,
        pause: Callable[[], Any] = lambda: time.sleep(_PAUSE),
    ) -> None:
        self.plan = plan
        self.metric = metric
        self._pause = pause
        self._given = 0
        self._ended_by: Exception | None = None
        old = read_outcome(plan)
        self._was_stopped = old is not None and old.status == "stopped"
        self._thread = threading.Thread(target=self._run, args=(carry_out,), daemon=True)
        if not self._was_stopped:
            self._thread.start()

    def next_score(self) -> tuple[int, float, bool]:
        """Wait for the next checkpoint that is scored.

        Returns:
            Its number from 1, its figure, and whether it is the run's last. That it was the last
            may come to be known only later, and then it is given again.

        Raises:
            ValueError: If the run failed, or its evaluation does not measure the metric.
        """
        while True:
            has_ended = not self._thread.is_alive()  # before the scores are read: none is missed
            figures = self._figures()
            if len(figures) > self._given:
                self._given += 1
                is_last = has_ended and self._given == len(figures)
                return self._given, figures[self._given - 1], is_last
            outcome = read_outcome(self.plan) if has_ended else None
            if figures and outcome is not None and outcome.status != "failed":
                return self._given, figures[-1], True  # it ended after its last score was given
            if has_ended:
                raise ValueError(self._failure(outcome))
            self._pause()

    def stop(self) -> None:
        """End the run as Ctrl-C does, with a checkpoint, unless it has ended; and note that."""
        if not self._thread.is_alive():
            return
        process = training_process(self.plan.folder)
        if process is not None:
            try:
                process.stop(self.plan.folder)
            except ProcessLookupError:  # it has ended by itself
                process = None
        self._thread.join()
        outcome = read_outcome(self.plan)
        if process is None or outcome is None or outcome.status == "finished":
            return
        reason = f"ASHA ended it by its `{self.metric}` at evaluation {self._given}."
        write_outcome(self.plan, replace(outcome, status="stopped", reason=reason))

    def _run(self, carry_out: CarryOut) -> None:
        try:
            carry_out(self.plan)
        except Exception as error:
            self._ended_by = error

    def _figures(self) -> list[float]:
        try:
            evaluation = Evaluation.load(RunFolder(self.plan.folder).record)
        except (FileNotFoundError, JsonFileError):
            return []
        tuned = evaluation.tuned
        if any(self.metric not in each.figures for each in tuned):
            raise ValueError(
                f"Expected `{self.metric}` to be measured in {self.plan.folder}, but there are "
                f"{', '.join(evaluation.metrics)}."
            )
        return [each.figures[self.metric].value for each in tuned]

    def _failure(self, outcome: Outcome | None) -> str:
        told = outcome.reason if outcome is not None else ""
        return str(self._ended_by or told or "It ended without a score.")
