"""Where pictures lie between the base's style and that of the training pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from sdtune.metrics.gram import GramEmbedder
from sdtune.metrics.style_score import StyleAxis, fit_style_axis, style_score
from sdtune.models.stable_diffusion import StableDiffusion

__all__ = ["StyleJudge"]

_PIXELS_AT_ONCE = 512 * 512


class StyleJudge:
    """The style measure of one base and one set of training pictures.

    Args:
        model: The base, whose VAE looks at the pictures.
        axis: From the base's own pictures to those of the style, see `fitted` and `from_tensors`.
    """

    def __init__(self, model: StableDiffusion, axis: StyleAxis) -> None:
        self.embedder = GramEmbedder(model.vae)
        self.axis = axis

    @classmethod
    def fitted(
        cls, model: StableDiffusion, training: Iterable[Tensor], contrast: Tensor
    ) -> StyleJudge:
        """Make the judge of a style.

        Args:
            model: The base.
            training: Training pictures, (b, 3, H, W) in [0, 1] a few at a time.
            contrast: (K, 3, H, W) in [0, 1], what the base draws of their captions.
        """
        embedder = GramEmbedder(model.vae)
        # through the VAE, as the base's own pictures have come: what it cannot draw is no style
        passed = [_embed(embedder, _through_vae(model, each)) for each in training]
        return cls(model, fit_style_axis(torch.cat(passed), _embed(embedder, contrast)))

    def scores(self, images: Tensor) -> Tensor:
        """Place pictures on the axis.

        Args:
            images: (B, 3, H, W) in [0, 1].

        Returns:
            (B,) float32: 0 where the base draws, 1 where new pictures of the style lie.
        """
        return style_score(_embed(self.embedder, images), self.axis)

    def tensors(self) -> dict[str, Tensor]:
        """Give the axis as tensors, to be kept."""
        places = torch.tensor(self.axis[1:], dtype=torch.float64)
        return {"direction": self.axis.direction, "places": places}

    @staticmethod
    def from_tensors(tensors: Mapping[str, Tensor]) -> StyleAxis:
        """Make the axis of what `tensors` gave."""
        zero, one, accuracy = tensors["places"].tolist()
        return StyleAxis(tensors["direction"], zero, one, accuracy)


def _embed(embedder: GramEmbedder, images: Tensor) -> Tensor:
    # as many pixels at once as one picture of 512 px: the VAE's maps are hundreds of channels
    few = max(1, _PIXELS_AT_ONCE // (images.shape[-2] * images.shape[-1]))
    return torch.cat([embedder.embed_images(each) for each in images.split(few)])


@torch.no_grad()
def _through_vae(model: StableDiffusion, images: Tensor) -> Tensor:
    moments = model.encode_images(2.0 * images - 1.0)
    return model.decode_latents(model.latents_from_moments(moments))
