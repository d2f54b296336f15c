from __future__ import annotations

import pytest
import torch
from torchmetrics.multimodal import CLIPScore as PeerCLIPScore
from transformers import CLIPModel, CLIPProcessor, CLIPTokenizer

from sdtune.metrics.clip_score import CLIP_SCORE, clip_score
from sdtune.metrics.judges import Judges
from tests.metrics.tiny_networks import random_images
from tests.metrics.tiny_samples import PROMPTS, make_reference, make_samples


class _Unwrapped(torch.nn.Module):
    """torchmetrics 1.9 wants bare features, which transformers 5 wraps into an output."""

    def __init__(self, clip: CLIPModel) -> None:
        super().__init__()
        self.clip = clip
        self.config = clip.config

    def get_image_features(self, *inputs):
        return self.clip.get_image_features(*inputs).pooler_output

    def get_text_features(self, *inputs):
        return self.clip.get_text_features(*inputs).pooler_output


@pytest.mark.parametrize("size", [64, 150])
def test_equals_torchmetrics(clip, clip_folder, size):
    images = random_images(6, seed=0, size=size)
    processor = CLIPProcessor(clip.image_processor, CLIPTokenizer.from_pretrained(clip_folder))
    model = _Unwrapped(CLIPModel.from_pretrained(clip_folder).eval())
    peer = PeerCLIPScore(lambda: (model, processor))
    peer.update((255 * images).round().to(torch.uint8), [*PROMPTS, *PROMPTS])
    samples = make_samples(make_reference(Judges(clip), images), images, prompt_ids=[0, 1, 2] * 2)
    ours = CLIP_SCORE.rows(samples).mean()
    torch.testing.assert_close(ours, peer.score.detach() / peer.n_samples)
    assert abs(peer.score) > 0.1


def test_is_a_hundred_times_the_cosine():
    images = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    texts = torch.tensor([[0.0, 1.0], [0.6, 0.8]])
    torch.testing.assert_close(clip_score(images, texts), torch.tensor([0.0, 100.0]))
    torch.testing.assert_close(clip_score(images, texts[:1]), torch.tensor([0.0, 80.0]))
