"""How different the pictures of one prompt are from each other."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import combinations

from torch import Tensor, nn

from sdtune.metrics.judges import given
from sdtune.metrics.lpips import Distance
from sdtune.metrics.metric import SampleMetric
from sdtune.metrics.samples import Samples

__all__ = ["LPIPS_DIVERSITY", "diversity"]


def diversity(images: Tensor, prompts: Sequence[Hashable], distance: Distance) -> Tensor:
    """Compute each picture's mean distance to the others of its prompt.

    The mean over pictures is the diversity of DreamBooth's paper when `distance` is LPIPS (Ruiz et
    al. 2023, https://arxiv.org/abs/2208.12242).

    Args:
        images: (B, 3, H, W) in [0, 1].
        prompts: B texts, or any names of them.
        distance: LPIPS or another.

    Returns:
        (B,), 0 or more; not a number for a picture that is its prompt's only one.
    """
    pairs = [(i, j) for i, j in combinations(range(len(images)), 2) if prompts[i] == prompts[j]]
    total, count = images.new_zeros(len(images)), images.new_zeros(len(images))
    for i, j in pairs:
        value = distance(images[i : i + 1], images[j : j + 1])
        total[[i, j]] += value
        count[[i, j]] += 1
    return total / count


def _values(samples: Samples) -> Tensor:
    distance, images = given(samples.judges.lpips, "lpips"), samples.pictures.pixels
    if isinstance(distance, nn.Module):
        images = images.to(next(distance.parameters()).device)
    return diversity(images, samples.prompt_ids, distance).cpu()


LPIPS_DIVERSITY = SampleMetric(
    name="lpips_diversity",
    title="diversity",
    higher_is_better=True,
    meaning=(
        "How different the pictures of one prompt are from each other, by LPIPS; 0 if every seed "
        "gives the same picture."
    ),
    limits="It does not say whether any of the pictures is good.",
    lowest=0.0,
    needs=("lpips",),
    values=_values,
)
