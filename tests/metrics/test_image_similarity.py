from __future__ import annotations

import torch

from sdtune.metrics.image_similarity import CLIP_I, DINO, image_similarity
from sdtune.metrics.judges import Judges
from tests.metrics.tiny_networks import random_images
from tests.metrics.tiny_samples import make_reference, make_samples


def test_is_the_mean_cosine_over_all_pairs():
    images, training = torch.eye(2), torch.tensor([[1.0, 0.0], [0.6, 0.8], [-1.0, 0.0]])
    wanted = torch.tensor([(1 + 0.6 - 1) / 3, 0.8 / 3])
    torch.testing.assert_close(image_similarity(images, training), wanted)


def test_clip_i_and_dino_see_by_their_own_networks(clip, dino):
    images, training = random_images(3, seed=0), random_images(4, seed=1)
    samples = make_samples(make_reference(Judges(clip, dino), training), images)
    for metric, network in ((CLIP_I, clip), (DINO, dino)):
        pairs = network.embed_images(images) @ network.embed_images(training).T
        torch.testing.assert_close(metric.rows(samples), pairs.mean(dim=1))
