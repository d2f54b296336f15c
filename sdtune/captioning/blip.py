"""Captions of photographs in sentences, by BLIP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from sdtune.captioning.captioner import CaptionerSettings
from sdtune.captioning.model_files import explained, find_files
from sdtune.files.whole_weights import load_whole

if TYPE_CHECKING:
    from transformers import BlipForConditionalGeneration

__all__ = ["BlipCaptioner", "blip_problem"]

_MODEL = "Salesforce/blip-image-captioning-base"
_BEAMS = 3
_NEW_TOKENS = 40


class BlipCaptioner:
    """Describes pictures in a sentence (Li et al. 2022, https://arxiv.org/abs/2201.12086).

    Args:
        model: BLIP for captions.
        image_processor: Its image processor.
        tokenizer: Its tokenizer.
        subject: How every caption begins, such as "a robot"; BLIP goes on from there.
    """

    def __init__(
        self,
        model: BlipForConditionalGeneration,
        image_processor: Any,
        tokenizer: Any,
        subject: str = "",
    ) -> None:
        self._model = model.eval()
        self._image_processor = image_processor
        self._tokenizer = tokenizer
        self._subject = subject.strip()

    @classmethod
    def load(cls, settings: CaptionerSettings) -> BlipCaptioner:
        """Load BLIP, in float32.

        Args:
            settings: `model`, by default Salesforce/blip-image-captioning-base; `subject`;
                `device`.

        Returns:
            The captioner.

        Raises:
            ValueError: If the model is not available here, is no BLIP, or is not whole.
        """
        from transformers import AutoConfig, AutoTokenizer, BlipForConditionalGeneration

        # transformers 5.4 hides it at the top level where torchvision is missing, which Pillow's
        # way of resizing does not need
        from transformers.models.auto.image_processing_auto import AutoImageProcessor

        source = settings.model or _MODEL
        with explained(source):
            found = AutoConfig.from_pretrained(source).model_type
            if found != "blip":
                raise ValueError(f"Expected a BLIP for captions, but it is a `{found}`.")
            model = load_whole(BlipForConditionalGeneration, source, dtype=torch.float32)
            return cls(
                model.to(settings.device),
                AutoImageProcessor.from_pretrained(source, backend="pil"),
                AutoTokenizer.from_pretrained(source),
                settings.subject,
            )

    @torch.inference_mode()
    def describe(self, images: Sequence[Image.Image]) -> list[str]:
        """Describe pictures, see `Captioner.describe`; the same ones always in the same words."""
        device = self._model.device
        pixel_values = self._image_processor(list(images), return_tensors="pt")["pixel_values"]
        begun: dict[str, Any] = {}
        if self._subject:
            # the end of a text is left out by `generate`, which goes on from there
            tokens = self._tokenizer([self._subject] * len(images), return_tensors="pt")
            begun = {name: tokens[name].to(device) for name in ("input_ids", "attention_mask")}
        ids = self._model.generate(
            pixel_values=pixel_values.to(device),
            **begun,
            num_beams=_BEAMS,
            do_sample=False,
            max_new_tokens=_NEW_TOKENS,
        )
        # the first token is the decoder's begin, which the tokenizer may not know as special
        texts = self._tokenizer.batch_decode(ids[:, 1:], skip_special_tokens=True)
        return [self._begun(" ".join(text.split())) for text in texts]

    def _begun(self, text: str) -> str:
        """Put the subject as it was given in the place of its tokens, which are lower case."""
        if self._subject and text.lower().startswith(self._subject.lower()):
            return self._subject + text[len(self._subject) :]
        return text if not self._subject else f"{self._subject} {text}".strip()


def blip_problem() -> str:
    """Say what keeps the default BLIP from being loaded, without loading it or asking the hub.

    Returns:
        A sentence; empty if there is nothing, or the hub would have to be asked.
    """
    from huggingface_hub import is_offline_mode

    if not is_offline_mode():
        return ""
    try:
        find_files(_MODEL, ("config.json",))
    except ValueError as error:
        return str(error)
    return ""
