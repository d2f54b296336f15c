"""How alike pictures and the training set are, in the eyes of a network: CLIP-I and DINO."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from sdtune.metrics.features import Embedder, image_features
from sdtune.metrics.images import Images, check_training_pictures
from sdtune.metrics.sample_mean import SampleMean

__all__ = ["ImageSimilarity", "image_similarity"]


def image_similarity(images: Tensor, training: Tensor) -> Tensor:
    """Compute the mean cosine between each picture and all training pictures.

    With CLIP's features it is the CLIP-I of DreamBooth's paper, with DINO's its DINO (Ruiz et al.
    2023, https://arxiv.org/abs/2208.12242).

    Args:
        images: (B, D) unit vectors of pictures.
        training: (M, D) unit vectors of training pictures.

    Returns:
        (B,) in [-1, 1].
    """
    return images @ training.to(images).mean(dim=0)


class ImageSimilarity(SampleMean):
    """Mean similarity of pictures to the training set.

    Args:
        training: At least two training pictures, or (M, D) features of them.
        embedder: CLIP or DINO; None if only features are given.
        **kwargs: What every `torchmetrics.Metric` takes.

    Raises:
        ValueError: If there are fewer than two training pictures.
    """

    higher_is_better = True

    training_features: Tensor

    def __init__(self, training: Images, embedder: Embedder | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_training_pictures(training)
        self.embedder = embedder
        features = image_features(training, embedder)
        self.register_buffer("training_features", features, persistent=False)

    def update(self, images: Images) -> None:
        """Add pictures.

        Args:
            images: (B, 3, H, W) in [0, 1], or (B, D) features.
        """
        features = image_features(images, self.embedder)
        self.add(image_similarity(features, self.training_features))
