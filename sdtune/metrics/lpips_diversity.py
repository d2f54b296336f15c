"""How different the pictures of one prompt are from each other."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from hashlib import blake2b
from itertools import combinations
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from sdtune._imports import require
from sdtune.metrics.images import Images, check_images

__all__ = ["Distance", "LPIPSDiversity", "diversity", "load_lpips"]

Distance = Callable[[Tensor, Tensor], Tensor]
"""From two (B, 3, H, W) in [0, 1] to (B,), 0 for the same picture."""


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


def load_lpips() -> Distance:
    """Load LPIPS on AlexNet's features (Zhang et al. 2018, https://arxiv.org/abs/1801.03924).

    Returns:
        The distance.

    Raises:
        ModuleNotFoundError: If the extra is not installed; the message is the pip command.
        ValueError: If AlexNet's weights are neither in torch's cache nor within reach.
    """
    require("torchvision", extra="lpips")
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    try:
        lpips = LearnedPerceptualImagePatchSimilarity("alex", reduction="none", normalize=True)
    except (OSError, RuntimeError) as error:
        raise ValueError(
            "AlexNet, on which LPIPS rests, is not in torch's cache and cannot be downloaded: "
            "compute LPIPS once with a network, or leave it out."
        ) from error
    return lpips.requires_grad_(False)


class LPIPSDiversity(Metric):
    """Mean distance between pictures of one prompt; low when every seed gives the same picture.

    Args:
        distance: LPIPS unless another is given.
        **kwargs: What every `torchmetrics.Metric` takes.

    Raises:
        ModuleNotFoundError: If no distance is given and the extra `lpips` is not installed.
    """

    higher_is_better = True
    is_differentiable = False
    full_state_update = False

    images: list[Tensor]
    prompts: list[Tensor]

    def __init__(self, distance: Distance | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.distance = load_lpips() if distance is None else distance
        self.add_state("images", [], dist_reduce_fx="cat")
        self.add_state("prompts", [], dist_reduce_fx="cat")

    def update(self, images: Images, prompts: Sequence[str]) -> None:
        """Add pictures, all of one size.

        Args:
            images: (B, 3, H, W) in [0, 1].
            prompts: B texts.
        """
        check_images(images)
        self.images.append(torch.stack(list(images)))
        numbers = [_number(prompt) for prompt in prompts]
        self.prompts.append(torch.tensor(numbers, device=self.device))

    @torch.no_grad()
    def compute(self) -> Tensor:
        """Return the mean over pictures that share their prompt with another."""
        prompts = dim_zero_cat(self.prompts).tolist()
        return diversity(dim_zero_cat(self.images), prompts, self.distance).nanmean()


def _number(prompt: str) -> int:
    # a number and not the text, so that processes can exchange it
    return int.from_bytes(blake2b(prompt.encode(), digest_size=7).digest(), "little")
