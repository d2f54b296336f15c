"""The metrics of an evaluation in plain words, for those who read its record."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sdtune.metrics.registry import METRICS
from sdtune.run_folder.record import MetricDescription

__all__ = ["describe_metrics"]


def describe_metrics(
    names: Collection[str], past: Mapping[str, MetricDescription] | None = None
) -> dict[str, MetricDescription]:
    """Describe metrics that were measured.

    Args:
        names: Their names.
        past: Descriptions that an earlier start of the run wrote, of metrics that may not be
            registered any more.

    Returns:
        Name -> title, direction and meaning, in the order of registration.

    Raises:
        ValueError: If a metric is neither registered nor described, for nothing is left out
            without a word.
    """
    known = dict(past or {}) | {
        name: MetricDescription(each.title, each.higher_is_better, each.meaning)
        for name, each in METRICS.items()
    }
    unknown = [f"`{name}`" for name in names if name not in known]
    if unknown:
        raise ValueError(
            f"Expected every metric that is measured to be registered, but {', '.join(unknown)} "
            "is not: see `sdtune.metrics.registry.register`."
        )
    return {name: known[name] for name in [*METRICS, *known] if name in names}
