"""Rough copies differ from their pictures, keep what is in them, and follow from the generator."""

from __future__ import annotations

import torch
from torch import Tensor

from sdtune.nano.making.rough_copies import rough_copies


def _pictures(count: int = 32) -> Tensor:
    """A bright square at one of four places on a dark ground."""
    pictures = torch.full((count, 3, 32, 32), -0.5)
    for number in range(count):
        top, left = 16 * (number % 2), 16 * (number // 2 % 2)
        pictures[number, :, top + 3 : top + 13, left + 3 : left + 13] = 0.5
    return pictures


def _copies(images: Tensor, share: float = 1.0, seed: int = 0) -> Tensor:
    return rough_copies(images, share, torch.Generator().manual_seed(seed))


def test_every_picture_changes_and_its_square_stays_in_place() -> None:
    pictures = _pictures()
    copies = _copies(pictures)
    assert copies.shape == pictures.shape
    assert copies.min() >= -1
    assert copies.max() <= 1
    assert (copies - pictures).abs().flatten(1).amax(dim=1).min() > 0.1

    quarters = torch.nn.functional.avg_pool2d(copies.mean(dim=1), 16).flatten(1)
    expected = torch.nn.functional.avg_pool2d(pictures.mean(dim=1), 16).flatten(1)
    assert torch.equal(quarters.argmax(dim=1), expected.argmax(dim=1))


def test_the_share_of_changed_pictures() -> None:
    pictures = _pictures(200)
    changed = (_copies(pictures, 0.5) - pictures).abs().flatten(1).amax(dim=1) > 0.1
    assert 0.4 < changed.float().mean() < 0.6
    torch.testing.assert_close(_copies(pictures, 0.0), pictures, rtol=0, atol=1e-5)


def test_the_generator_decides() -> None:
    pictures = _pictures()
    assert torch.equal(_copies(pictures), _copies(pictures))
    assert not torch.equal(_copies(pictures), _copies(pictures, seed=1))
