from __future__ import annotations

import pytest
import torch
from diffusers import AutoencoderKL

from sdtune.metrics.gram import GramEmbedder
from sdtune.metrics.judges import Judges
from sdtune.metrics.style_score import STYLE_SCORE, fit_style_axis, style_score
from tests.metrics.tiny_samples import FixedStyle, make_reference, make_samples
from tests.metrics.two_styles import draw_things
from tests.random_weights import draw_weights


def _share_above(ones: torch.Tensor, others: torch.Tensor) -> float:
    return float((ones[:, None] > others[None, :]).float().mean())


@pytest.fixture(scope="module")
def embedder(tiny_sd) -> GramEmbedder:
    """A random network of a seed that sees hatching well; few do."""
    vae = AutoencoderKL.from_pretrained(tiny_sd, subfolder="vae").eval()
    draw_weights(vae, seed=7)
    return GramEmbedder(vae)


@pytest.fixture(scope="module")
def features(embedder: GramEmbedder) -> dict[str, torch.Tensor]:
    return {style: embedder.embed_images(draw_things(120, style)) for style in ("flat", "hatched")}


def test_two_drawings_of_one_thing_are_more_alike_than_two_in_one_style(features):
    """Which is why the plain likeness of Gram matrices would reward content."""
    flat, hatched = features["flat"], features["hatched"]
    same_thing = (flat * hatched).sum(dim=1)
    same_style = (hatched * hatched.roll(1, dims=0)).sum(dim=1)
    assert (same_style > same_thing).float().mean() < 0.4


def test_same_style_ranks_above_same_content(features):
    """On things that the axis was not fitted on, and with things that it was."""
    flat, hatched = features["flat"], features["hatched"]
    axis = fit_style_axis(hatched[:40], flat[:40])
    new = style_score(hatched[40:], axis)
    assert axis.accuracy > 0.95
    assert _share_above(new, style_score(flat[40:], axis)) > 0.95
    assert _share_above(new, style_score(flat[:40], axis)) > 0.95


def test_new_pictures_lie_at_0_and_1_on_average(features):
    flat, hatched = features["flat"], features["hatched"]
    axis = fit_style_axis(hatched[:40], flat[:40])
    assert style_score(hatched[40:], axis).mean() == pytest.approx(1, abs=0.15)
    assert style_score(flat[40:], axis).mean() == pytest.approx(0, abs=0.15)


def test_things_of_the_training_set_are_not_rewarded(embedder, features):
    flat, hatched = features["flat"], features["hatched"]
    axis = fit_style_axis(hatched[:40], flat[:40])
    redrawn = style_score(embedder.embed_images(draw_things(60, "flat", seed=1)), axis)
    assert redrawn[:40].mean() == pytest.approx(float(redrawn[40:].mean()), abs=0.2)


def test_is_fisher_s_discriminant():
    generator = torch.Generator().manual_seed(0)
    ours, others = (torch.randn(30, 4, generator=generator).double() for _ in range(2))
    ours[:, 0] += 2.0
    within = (torch.cov(ours.T, correction=0) + torch.cov(others.T, correction=0)) / 2
    ridge = 0.01 * within.trace() / 60
    difference = ours.mean(dim=0) - others.mean(dim=0)
    wanted = torch.linalg.solve(within + ridge * torch.eye(4), difference)
    torch.testing.assert_close(fit_style_axis(ours, others).direction, wanted)


def test_features_without_the_style_say_so():
    generator = torch.Generator().manual_seed(0)
    one, other = torch.randn(2, 60, 20, generator=generator)
    assert fit_style_axis(one, other).accuracy == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize("count", [2, 3, 7])
def test_few_pictures_are_enough_for_an_axis(features, count):
    axis = fit_style_axis(features["hatched"][:count], features["flat"][:3])
    assert style_score(features["hatched"], axis).isfinite().all()


def test_the_metric_asks_the_judge_of_style():
    judges, images = Judges(style=FixedStyle()), draw_things(3, "flat")
    samples = make_samples(make_reference(judges, draw_things(2, "hatched")), images)
    torch.testing.assert_close(STYLE_SCORE.rows(samples), images[:, 0].mean(dim=(1, 2)))


def test_all_that_is_wrong_is_said():
    with pytest.raises(ValueError, match="two training pictures, but got 1") as caught:
        fit_style_axis(torch.zeros(1, 3), torch.zeros(1, 3), ridge=0)
    assert "two pictures of the base as contrast, but got 1" in str(caught.value)
    assert "`ridge` to be a positive number, but got 0" in str(caught.value)


def test_sides_without_any_variance_still_have_a_direction():
    ours, others = torch.eye(4)[[0, 0]], torch.eye(4)[[1, 1]]
    axis = fit_style_axis(ours, others)
    assert style_score(ours, axis).tolist() == pytest.approx([1.0, 1.0])
    assert style_score(others, axis).tolist() == pytest.approx([0.0, 0.0])
