from __future__ import annotations

import pytest
import torch

from sdtune.metrics.class_drift import CLASS_DRIFT, class_drift
from sdtune.metrics.judges import Judges
from tests.metrics.tiny_networks import random_images
from tests.metrics.tiny_samples import make_reference, make_samples


def test_is_one_less_the_cosine_of_each_pair():
    tuned, base = torch.tensor([[1.0, 0.0], [0.6, 0.8]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    torch.testing.assert_close(class_drift(tuned, base), torch.tensor([0.0, 0.4]))


def test_a_model_that_did_not_move_has_no_drift(clip):
    images, classes = random_images(3, seed=0), random_images(4, seed=1)
    reference = make_reference(Judges(clip), images)
    base = make_samples(reference, images, classes)
    same = CLASS_DRIFT.rows(make_samples(reference, images.flip(0), classes, base))
    torch.testing.assert_close(same, torch.zeros(4), atol=1e-6, rtol=0)
    moved = CLASS_DRIFT.rows(make_samples(reference, images, classes.flip(0), base))
    assert moved.mean() > 0.01


def test_a_picture_of_the_base_too_few_is_refused():
    with pytest.raises(ValueError, match=r"of shape \(2, 3\) and \(3, 3\)"):
        class_drift(torch.eye(3), torch.eye(3)[:2])
