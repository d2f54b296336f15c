from dataclasses import replace

import pytest
import torch

from sdtune.metrics.judges import Judges
from sdtune.metrics.metric import SetMetric
from tests.metrics.brightness import BRIGHTNESS
from tests.metrics.tiny_networks import random_images
from tests.metrics.tiny_samples import make_reference, make_samples

SPREAD = SetMetric(
    name="spread",
    title="spread",
    higher_is_better=True,
    meaning="How far pictures are apart in brightness.",
    limits="It says nothing else.",
    vectors=lambda samples: samples.pictures.pixels.mean(dim=(2, 3)),
    distance=lambda rows, reference, weights: (weights * rows[:, 0]).amax(dim=1),
)


@pytest.fixture
def samples():
    return make_samples(make_reference(Judges(), random_images(2, 0)), random_images(3, seed=1))


def test_a_set_has_the_weighted_mean_of_its_samples(samples):
    rows = BRIGHTNESS.rows(samples)
    torch.testing.assert_close(rows, samples.pictures.pixels.flatten(1).mean(dim=1))
    weights = torch.tensor([[1.0, 1.0, 1.0], [2.0, 0.0, 1.0]])
    wanted = torch.stack([rows.double().mean(), (2 * rows[0].double() + rows[2].double()) / 3])
    torch.testing.assert_close(BRIGHTNESS.figure(rows, samples.reference, weights), wanted)


def test_a_metric_of_sets_keeps_vectors(samples):
    rows = SPREAD.rows(samples)
    assert rows.shape == (3, 3)
    weights = torch.tensor([[1.0, 0.0, 0.0]])
    assert SPREAD.figure(rows, samples.reference, weights).tolist() == [float(rows[0, 0])]


def test_a_value_too_few_and_class_pictures_that_are_absent_are_refused(samples):
    short = replace(BRIGHTNESS, values=lambda samples: torch.zeros(2))
    with pytest.raises(ValueError, match=r"`brightness` to give a value for each of 3 .* \(2,\)"):
        short.rows(samples)
    with pytest.raises(ValueError, match="class pictures for the metric `brightness`"):
        replace(BRIGHTNESS, of_class=True).rows(samples)
    with pytest.raises(ValueError, match=r"each of 3 samples, .* \(3, 2\)"):
        replace(BRIGHTNESS, values=lambda samples: torch.zeros(3, 2)).rows(samples)
