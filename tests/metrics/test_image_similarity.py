from __future__ import annotations

import pytest
import torch

from sdtune.metrics.image_similarity import ImageSimilarity, image_similarity
from tests.metrics.tiny_networks import random_images


def test_is_the_mean_cosine_over_all_pairs():
    images, training = torch.eye(2), torch.tensor([[1.0, 0.0], [0.6, 0.8], [-1.0, 0.0]])
    wanted = torch.tensor([(1 + 0.6 - 1) / 3, 0.8 / 3])
    torch.testing.assert_close(image_similarity(images, training), wanted)


@pytest.mark.parametrize("network", ["clip", "dino"])
def test_pictures_and_their_features_give_the_same(network, request):
    embedder = request.getfixturevalue(network)
    images, training = random_images(3, seed=0), random_images(4, seed=1)
    of_pictures = ImageSimilarity(training, embedder)
    of_features = ImageSimilarity(embedder.embed_images(training))
    of_pictures.update(images)
    of_features.update(embedder.embed_images(images))
    assert of_pictures.compute() == of_features.compute()
    pairs = embedder.embed_images(images) @ embedder.embed_images(training).T
    torch.testing.assert_close(of_pictures.compute(), pairs.mean())


def test_one_training_picture_is_too_few(clip):
    with pytest.raises(ValueError, match="at least two training pictures"):
        ImageSimilarity(random_images(1, seed=0), clip)
