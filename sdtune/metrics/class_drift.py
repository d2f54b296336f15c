"""How far training moved what the model draws for the class, which should have stayed."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from sdtune.metrics.features import Embedder, image_features
from sdtune.metrics.images import Images
from sdtune.metrics.sample_mean import SampleMean

__all__ = ["ClassDrift", "class_drift"]


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


class ClassDrift(SampleMean):
    """Mean drift of the class from the base, which prior preservation should keep low.

    Args:
        embedder: CLIP or DINO; None if `update` gets only features.
        **kwargs: What every `torchmetrics.Metric` takes.
    """

    higher_is_better = False

    def __init__(self, embedder: Embedder | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.embedder = embedder

    def update(self, tuned: Images, base: Images) -> None:
        """Add pictures of class prompts, without the subject's name.

        Args:
            tuned: (B, 3, H, W) in [0, 1] by the tuned model, or (B, D) features.
            base: The same prompts and seeds by the base.
        """
        self.add(
            class_drift(image_features(tuned, self.embedder), image_features(base, self.embedder))
        )
