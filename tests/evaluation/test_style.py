import torch

from sdtune.evaluation.style import StyleJudge
from sdtune.metrics.gram import GramEmbedder
from sdtune.metrics.style_score import fit_style_axis, style_score
from sdtune.models import load
from tests.metrics.tiny_networks import random_images


def test_it_is_the_style_score_on_training_pictures_through_the_vae(tiny_sd):
    model = load(tiny_sd)
    training, contrast = random_images(6, seed=0), random_images(6, seed=1)
    judge = StyleJudge.fitted(model, training.split(4), contrast)
    with torch.no_grad():
        moments = model.encode_images(2 * training - 1)
        passed = model.decode_latents(model.latents_from_moments(moments))
    embed = GramEmbedder(model.vae).embed_images
    samples = random_images(3, seed=2)
    wanted = style_score(embed(samples), fit_style_axis(embed(passed), embed(contrast)))
    torch.testing.assert_close(judge.scores(samples), wanted, atol=1e-3, rtol=0)
    assert not torch.allclose(judge.scores(training), judge.scores(contrast))
