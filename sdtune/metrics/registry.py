"""All metrics, in the order in which they are shown."""

from __future__ import annotations

from collections.abc import Collection

from sdtune.files.metric_name import METRIC_NAME, is_metric_name
from sdtune.metrics.class_drift import CLASS_DRIFT
from sdtune.metrics.clip_score import CLIP_SCORE
from sdtune.metrics.image_similarity import CLIP_I, DINO
from sdtune.metrics.kernel_distance import CLIP_MMD
from sdtune.metrics.lpips_diversity import LPIPS_DIVERSITY
from sdtune.metrics.memorisation import MEMORISED_SHARE
from sdtune.metrics.metric import Metric
from sdtune.metrics.ssim import SSIM, SSIM_NEAREST
from sdtune.metrics.style_score import STYLE_SCORE

__all__ = ["METRICS", "find_metric", "measurable", "needed", "register"]

METRICS: dict[str, Metric] = {}
"""Name -> metric. The evaluation, its record, the report, the tables, TensorBoard's tags and the
rule for the best checkpoint all read it, so that a metric is its file and its name here."""


def register(metric: Metric) -> Metric:
    """Add a metric, which is shown after those that are there.

    Args:
        metric: The metric.

    Returns:
        The same.

    Raises:
        ValueError: If its name is none for a curve, or another metric has it.
    """
    if not is_metric_name(metric.name):
        raise ValueError(
            f"Expected the name of a metric to be {METRIC_NAME}, but got `{metric.name}`."
        )
    if METRICS.get(metric.name, metric) is not metric:
        raise ValueError(f"Expected a metric of a new name, but `{metric.name}` is registered.")
    METRICS[metric.name] = metric
    return metric


def find_metric(name: str) -> Metric:
    """Find a metric.

    Args:
        name: Its name.

    Returns:
        The metric.

    Raises:
        ValueError: If there is none of that name.
    """
    if name not in METRICS:
        names = ", ".join(f"`{each}`" for each in METRICS)
        raise ValueError(f"Expected a metric to be one of {names}, but got `{name}`.")
    return METRICS[name]


def needed(missing: Collection[str] = ()) -> set[str]:
    """List what the registered metrics need.

    Args:
        missing: What cannot be had: metrics that need it are not measured, and need nothing.

    Returns:
        Such as `clip`, see `samples.Need`.
    """
    return {need for each in measurable(missing) for need in each.needs}


def measurable(missing: Collection[str]) -> list[Metric]:
    """List the registered metrics of which no need is missing, in the order of registration.

    Args:
        missing: What cannot be had.

    Returns:
        The metrics.
    """
    return [each for each in METRICS.values() if not set(each.needs) & set(missing)]


for _metric in (
    CLIP_SCORE,
    STYLE_SCORE,
    CLIP_I,
    DINO,
    CLIP_MMD,
    SSIM,
    SSIM_NEAREST,
    LPIPS_DIVERSITY,
    MEMORISED_SHARE,
    CLASS_DRIFT,
):
    register(_metric)
