"""How well a picture shows what its prompt says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from sdtune.metrics.features import CLIPEmbedder, image_features, text_features
from sdtune.metrics.images import Images
from sdtune.metrics.sample_mean import SampleMean

__all__ = ["CLIPScore", "clip_score"]


def clip_score(images: Tensor, texts: Tensor) -> Tensor:
    """Compute 100 times the cosine between each picture and its text (Hessel et al. 2021).

    Hessel et al. (https://arxiv.org/abs/2104.08718) scale by 2.5; 100 is what torchmetrics, and
    with it the reference paper, reports.

    Args:
        images: (B, D) unit vectors of pictures.
        texts: (B, D) unit vectors of their texts, or (1, D) of one text for all.

    Returns:
        (B,) in [-100, 100].
    """
    return 100.0 * (images * texts.to(images)).sum(dim=1)


class CLIPScore(SampleMean):
    """Mean CLIP score, 0 if it is negative; equal to `torchmetrics.multimodal.CLIPScore`.

    Args:
        embedder: The CLIP; None if `update` gets only features.
        **kwargs: What every `torchmetrics.Metric` takes.
    """

    higher_is_better = True

    def __init__(self, embedder: CLIPEmbedder | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.embedder = embedder

    def update(self, images: Images, prompts: Sequence[str] | Tensor) -> None:
        """Add pictures with their prompts.

        Args:
            images: (B, 3, H, W) in [0, 1], or (B, D) features.
            prompts: B texts, or (B, D) features.

        Raises:
            ValueError: If their numbers differ.
        """
        if len(images) != len(prompts):
            raise ValueError(
                f"Expected one prompt per picture, but got {len(prompts)} prompts and "
                f"{len(images)} pictures."
            )
        texts = text_features(prompts, self.embedder)
        self.add(clip_score(image_features(images, self.embedder), texts))

    def compute(self) -> Tensor:
        """Return the mean score, 0 or more."""
        return super().compute().clamp(min=0.0)
