"""How far training moved what the model draws for the class, which should have stayed."""

from __future__ import annotations

from torch import Tensor

from sdtune.metrics.judges import given
from sdtune.metrics.metric import SampleMetric
from sdtune.metrics.samples import Samples

__all__ = ["CLASS_DRIFT", "class_drift"]


def class_drift(tuned: Tensor, base: Tensor) -> Tensor:
    """Compute 1 minus the cosine between the pictures that two models drew of the same.

    Args:
        tuned: (B, D) unit vectors of the tuned model's pictures of class prompts.
        base: (B, D) unit vectors of the base's, of the same prompts and seeds in the same order.

    Returns:
        (B,) in [0, 2]; 0 where nothing changed.

    Raises:
        ValueError: If their numbers differ.
    """
    if tuned.shape != base.shape:
        raise ValueError(
            "Expected a picture of the base for each of the tuned model, but got features of "
            f"shape {tuple(base.shape)} and {tuple(tuned.shape)}."
        )
    return 1.0 - (tuned * base.to(tuned)).sum(dim=1)


def _values(samples: Samples) -> Tensor:
    tuned = given(samples.class_pictures, "class_pictures")
    base = given(given(samples.base, "base").class_pictures, "class_pictures")
    return class_drift(tuned.clip, base.clip)


CLASS_DRIFT = SampleMetric(
    name="class_drift",
    title="class drift",
    higher_is_better=False,
    meaning=(
        "How far training moved what the class itself looks like: 1 less the cosine of tuned and "
        "base pictures of the class's prompts, in the space of a CLIP."
    ),
    limits="It does not say whether the change is for the better.",
    lowest=0.0,
    highest=2.0,
    needs=("clip", "class_pictures", "base"),
    values=_values,
    of_class=True,
)
