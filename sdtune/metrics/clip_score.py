"""How well a picture shows what its prompt says."""

from __future__ import annotations

from torch import Tensor

from sdtune.metrics.judges import given
from sdtune.metrics.metric import SampleMetric
from sdtune.metrics.samples import Reference, Samples

__all__ = ["CLIP_SCORE", "clip_score"]


def clip_score(images: Tensor, texts: Tensor) -> Tensor:
    """Compute 100 times the cosine between each picture and its text (Hessel et al. 2021).

    Hessel et al. (https://arxiv.org/abs/2104.08718) scale by 2.5; 100 is what torchmetrics, and
    with it the reference paper, reports. torchmetrics' own class is not used: it embeds the
    pictures for itself, where here all metrics share their vectors, and gives the mean alone. Of
    square pictures both give the same; of others torchmetrics judges the middle square alone.

    Args:
        images: (B, D) unit vectors of pictures.
        texts: (B, D) unit vectors of their texts, or (1, D) of one text for all.

    Returns:
        (B,) in [-100, 100].
    """
    return 100.0 * (images * texts.to(images)).sum(dim=1)


def _texts(reference: Reference) -> Tensor:
    return given(reference.judges.clip, "clip").embed_texts(reference.prompts).cpu()


def _values(samples: Samples) -> Tensor:
    return clip_score(samples.pictures.clip, samples.reference.once(_texts)[samples.prompt_ids])


CLIP_SCORE = SampleMetric(
    name="clip_score",
    title="CLIP score",
    higher_is_better=True,
    meaning=(
        "How well a picture shows what its prompt says: 100 times the cosine of the two in the "
        "space of a CLIP. A picture that is not square is squeezed into a square, so that all of "
        "it counts; other programs judge its middle alone."
    ),
    limits="It does not say whether a picture is beautiful, nor in which style it is drawn.",
    lowest=-100.0,
    highest=100.0,
    needs=("clip",),
    values=_values,
)
