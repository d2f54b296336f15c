"""Runs side by side, over the machines of a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from sdtune._imports import require

__all__ = ["RayWorkers", "run_resources"]

Plan = TypeVar("Plan")
Result = TypeVar("Result")


class RayWorkers:
    """Carry out some runs at a time as tasks of Ray.

    The cluster is the one that `RAY_ADDRESS` names, or this machine alone. Machines must see the
    working folder under the same path and have sdtune installed. Each run gets an equal share of
    the processors and, where there are GPUs, one of them.

    Args:
        count: How many runs at a time.

    Raises:
        ModuleNotFoundError: If Ray is not installed.
        ValueError: If `count` is not positive.
    """

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ValueError(f"Expected the number of workers to be positive, but got {count}.")
        require("ray", extra="ray")
        self.count = count

    def __call__(
        self, plans: Iterable[Plan], carry_out: Callable[[Plan], Result]
    ) -> Iterator[Result]:
        """Carry out the runs.

        Args:
            plans: The runs, or whatever else Ray can send to a worker.
            carry_out: What to do with each, on a worker.

        Yields:
            Their outcomes, in the order in which they end.
        """
        import ray

        waiting = list(plans)
        running: list[Any] = []
        is_ours = not ray.is_initialized()
        if is_ours:
            ray.init(log_to_driver=False, include_dashboard=False)
        try:
            task = ray.remote(_carry_out_in).options(
                **run_resources(ray, self.count),
                scheduling_strategy="SPREAD",
                max_retries=0,  # the next call resumes what was lost
            )
            while waiting or running:
                while waiting and len(running) < self.count:
                    running.append(task.remote(os.getcwd(), waiting.pop(0), carry_out))
                [ended], running = ray.wait(running)
                yield ray.get(ended)
        finally:
            if is_ours:
                ray.shutdown()


def run_resources(ray: Any, count: int) -> dict[str, Any]:
    """Share a cluster out.

    Args:
        ray: The package, connected.
        count: Runs at a time.

    Returns:
        Of each run: its processors, `num_cpus`, and its GPUs, `num_gpus`.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    share = sum(node.get("CPU", 0) for node in nodes) // count
    largest = max(node.get("CPU", 0) for node in nodes)
    has_gpus = any(node.get("GPU", 0) for node in nodes)
    return {"num_cpus": max(1, min(share, largest)), "num_gpus": 1 if has_gpus else 0}


def _carry_out_in(folder: str, plan: Plan, carry_out: Callable[[Plan], Result]) -> Result:
    os.chdir(folder)
    return carry_out(plan)
