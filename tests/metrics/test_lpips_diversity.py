from __future__ import annotations

import torch

from sdtune.metrics.judges import Judges
from sdtune.metrics.lpips_diversity import LPIPS_DIVERSITY, diversity
from tests.metrics.tiny_networks import random_images
from tests.metrics.tiny_samples import make_reference, make_samples, pixel_distance


def test_compares_pictures_of_one_prompt():
    images = torch.tensor([0.0, 0.4, 1.0, 0.5])[:, None, None, None].expand(4, 3, 8, 8)
    values = diversity(images, ["a", "a", "a", "b"], pixel_distance)
    torch.testing.assert_close(values[:3], torch.tensor([0.7, 0.5, 0.8]))
    assert values[3].isnan()


def test_the_same_picture_for_every_seed_has_none():
    reference = make_reference(Judges(lpips=pixel_distance), random_images(2, seed=0))
    alike = random_images(1, seed=0).expand(3, -1, -1, -1)
    images = torch.cat([alike, random_images(3, seed=1)])
    rows = LPIPS_DIVERSITY.rows(make_samples(reference, images, prompt_ids=[0, 0, 0, 1, 1, 1]))
    assert rows[:3].tolist() == [0.0] * 3
    assert rows[3:].min() > 0.05
