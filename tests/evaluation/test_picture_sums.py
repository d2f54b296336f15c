import math

import pytest

from sdtune.evaluation.picture_sums import PictureSums
from sdtune.run_folder.picture_losses import PictureLoss


def sums_of(*samples):
    sums = PictureSums()
    names, losses, bins = zip(*samples, strict=True)
    sums.add(names, losses, bins)
    return sums


def test_a_picture_that_met_little_noise_is_not_taken_for_a_hard_one():
    sums = sums_of(("a", 9.0, 0), ("b", 3.0, 0), ("a", 0.5, 9), ("c", 1.5, 9))
    pictures = sums.summary()
    assert list(pictures) == ["c", "a", "b"]
    assert pictures["a"] == PictureLoss(4.75, 1.0, 2)
    assert pictures["c"].relative_loss == 1.5


def test_parts_add_up_to_the_whole_through_a_checkpoint():
    samples = [("a", 1.0, 0), ("b", 2.0, 3), ("a", 3.0, 0), ("c", 4.0, 3)]
    first, second = sums_of(*samples[:2]), sums_of(*samples[2:])
    again = PictureSums.from_state_dict(first.state_dict())
    assert (again + second).summary() == sums_of(*samples).summary()
    assert (PictureSums() + PictureSums.from_state_dict(PictureSums().state_dict())).rows == {}


def test_losses_that_are_not_finite_are_left_out():
    pictures = sums_of(("a", math.nan, 0), ("a", 2.0, 0), ("b", math.inf, 1)).summary()
    assert pictures == {"a": PictureLoss(2.0, pytest.approx(1.0), 1)}
