import pytest
import torch

from sdtune.metrics.judges import Judges
from sdtune.metrics.samples import see
from tests.metrics.tiny_networks import random_images
from tests.metrics.tiny_samples import make_reference, make_samples


def test_judges_see_only_what_is_needed_and_all_of_it(clip):
    images = random_images(5, seed=0)
    views = see(images.split(2), Judges(clip), {"clip", "grey", "training"})
    assert set(views) == {"clip", "grey"}
    torch.testing.assert_close(views["clip"], clip.embed_images(images))
    assert views["grey"].shape == (5, 1, 64, 64)
    assert see(iter([]), Judges(), {"training"}) == {}


def test_a_need_that_was_not_declared_is_named():
    samples = make_samples(make_reference(Judges(), random_images(2, 0)), random_images(3, seed=1))
    with pytest.raises(LookupError, match="asks for `clip` to name it in its `needs`"):
        _ = samples.pictures.clip
    with pytest.raises(LookupError, match="`dino`"):
        see([random_images(1, 0)], Judges(), ["dino"])


def test_what_several_metrics_ask_for_is_computed_once():
    samples = make_samples(make_reference(Judges(), random_images(2, 0)), random_images(3, seed=1))
    calls = []

    def count(of):
        calls.append(of)
        return len(calls)

    assert [samples.once(count), samples.once(count)] == [1, 1]
    assert [samples.reference.once(count), samples.reference.once(count)] == [2, 2]
    assert calls == [samples, samples.reference]
