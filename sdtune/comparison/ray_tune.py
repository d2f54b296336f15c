"""Runs that are ended early by their scores: Ray Tune's ASHA, over the machines of a cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from sdtune._imports import require
from sdtune.comparison.execution import CarryOut, Outcome, read_outcome
from sdtune.comparison.output_names import TUNE
from sdtune.comparison.planning import PlannedRun
from sdtune.comparison.ray_workers import run_resources
from sdtune.comparison.scored_run import ScoredRun
from sdtune.metrics.registry import find_metric

__all__ = ["RayTune"]

_KEPT = 3  # of so many runs, one goes on


class RayTune:
    """Carry out some runs at a time, and end those early whose scores are not among the best.

    Asynchronous successive halving (Li et al. 2020, arXiv:1810.05934) on a figure of the
    evaluation, not on the loss. The rungs are evaluations 1, 3, 9 …: at each, a run goes on if its
    figure is in the best third of the runs that have come as far. One that is ended has a
    checkpoint, and stays in the table with the steps that it took. The cluster is that of
    `RayWorkers`, and so is what its machines need.

    Args:
        count: How many runs at a time.
        metric: The figure, a key of evaluation.json such as `style_score`.

    Raises:
        ModuleNotFoundError: If Ray Tune is not installed.
        ValueError: If `count` is not positive, or there is no such metric.
    """

    def __init__(self, count: int, metric: str) -> None:
        if count < 1:
            raise ValueError(f"Expected the number of workers to be positive, but got {count}.")
        self.is_higher_better = find_metric(metric).higher_is_better
        for package in ("ray", "pandas", "pyarrow"):  # which Tune is not imported without
            require(package, extra="ray")
        self.count = count
        self.metric = metric

    def __call__(self, plans: Iterable[PlannedRun], carry_out: CarryOut) -> Iterator[Outcome]:
        """Carry out the runs.

        Args:
            plans: The runs, of one comparison.
            carry_out: What to do with each, on a worker.

        Yields:
            Their outcomes, when all have ended.
        """
        os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
        import ray

        waiting = list(plans)
        is_ours = not ray.is_initialized()
        if is_ours:
            ray.init(log_to_driver=False, include_dashboard=False)
        try:
            self._tuner(ray, waiting, carry_out).fit()
        finally:
            if is_ours:
                ray.shutdown()
        for plan in waiting:
            lost = "Ray lost it; the next call goes on with it."
            yield read_outcome(plan) or Outcome(
                plan.name, "failed", lost, "", None, str(plan.folder)
            )

    def _tuner(self, ray: Any, plans: list[PlannedRun], carry_out: CarryOut) -> Any:
        from ray import tune
        from ray.tune.schedulers import ASHAScheduler

        share = run_resources(ray, self.count)
        start = _Start(plans, self.metric, os.getcwd(), carry_out)
        trainable = tune.with_resources(
            _trainable(tune, start), {"cpu": share["num_cpus"], "gpu": share["num_gpus"]}
        )
        scheduler = ASHAScheduler(
            time_attr="evaluation",
            grace_period=1,
            reduction_factor=_KEPT,
            max_t=10**6,  # a run ends by itself
        )
        return tune.Tuner(
            trainable,
            param_space={"run": tune.grid_search(list(range(len(plans))))},
            tune_config=tune.TuneConfig(
                metric="score",
                mode="max" if self.is_higher_better else "min",
                scheduler=scheduler,
                max_concurrent_trials=self.count,
            ),
            run_config=tune.RunConfig(
                name=TUNE, storage_path=str(plans[0].output.resolve()), verbose=0
            ),
        )


class _Start:
    """Starts one of the runs on a worker, whose folder is another."""

    def __init__(
        self, plans: list[PlannedRun], metric: str, folder: str, carry_out: CarryOut
    ) -> None:
        self._plans, self._metric = plans, metric
        self._folder, self._carry_out = Path(folder), carry_out

    def __call__(self, number: int) -> ScoredRun:
        os.chdir(self._folder)
        return ScoredRun(self._plans[number], self._metric, self._carry_out)


def _trainable(tune: Any, start: Callable[[int], ScoredRun]) -> Any:
    class Run(tune.Trainable):  # type: ignore[misc]
        def setup(self, config: dict[str, Any]) -> None:
            self.scored = start(config["run"])

        def step(self) -> dict[str, Any]:
            evaluation, score, is_last = self.scored.next_score()
            return {"evaluation": evaluation, "score": score, "done": is_last}

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            """Leave that to the run, whose folder has its own."""

        def load_checkpoint(self, checkpoint: Any) -> None:
            """Likewise."""

        def cleanup(self) -> None:
            self.scored.stop()

    return Run
