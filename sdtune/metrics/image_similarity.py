"""How alike pictures and the training set are, in the eyes of a network: CLIP-I and DINO."""

from __future__ import annotations

from torch import Tensor

from sdtune.metrics.metric import SampleMetric

__all__ = ["CLIP_I", "DINO", "image_similarity"]


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


CLIP_I = SampleMetric(
    name="clip_i",
    title="CLIP-I",
    higher_is_better=True,
    meaning=(
        "How much a picture is like the training pictures: its mean cosine to them in the space "
        "of a CLIP. Pictures that are not square are squeezed into squares, whole."
    ),
    limits="It does not tell a likeness that was learned from a copy.",
    lowest=-1.0,
    highest=1.0,
    needs=("clip", "training"),
    values=lambda samples: image_similarity(samples.pictures.clip, samples.training.clip),
)

DINO = SampleMetric(
    name="dino",
    title="DINO",
    higher_is_better=True,
    meaning=(
        "The same in the space of a DINO, which tells one subject from others of its class; whole "
        "pictures, squeezed likewise."
    ),
    limits="It does not tell a likeness that was learned from a copy.",
    lowest=-1.0,
    highest=1.0,
    needs=("dino", "training"),
    values=lambda samples: image_similarity(samples.pictures.dino, samples.training.dino),
)
