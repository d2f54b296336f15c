"""Frozen networks that turn pictures into vectors, loaded once and shared by the metrics."""

from __future__ import annotations

import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from sdtune.files.whole_weights import NotWholeError, load_whole
from sdtune.metrics.images import Images, check_images
from sdtune.metrics.judge_files import NANO, nano_judge

if TYPE_CHECKING:
    from transformers import CLIPModel, CLIPTokenizer, PreTrainedModel

__all__ = [
    "CLIPEmbedder",
    "DINOEmbedder",
    "Embedder",
    "check_clip",
    "check_dino",
    "load_clip",
    "load_dino",
]

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_PICTURES_AT_ONCE = 32


class Embedder(nn.Module, ABC):
    """A frozen network that turns a picture into a vector of length 1.

    A descriptor of one's own, such as CSD's (Somepalli et al. 2024,
    https://arxiv.org/abs/2404.01292), is a subclass with `_embed`, and goes wherever an embedder
    is asked for.
    """

    @torch.no_grad()
    def embed_images(self, images: Images) -> Tensor:
        """Embed pictures, a few at a time.

        Args:
            images: (B, 3, H, W) in [0, 1], or a list of (3, H, W) whose sizes may differ.

        Returns:
            (B, D) float32 unit vectors on the device of the network.

        Raises:
            ValueError: If there is no picture, or one is not of colour in [0, 1].
        """
        if not len(images):
            raise ValueError("Expected at least one picture to embed, but got none.")
        check_images(images)
        vectors = [
            self._embed(images[first : first + _PICTURES_AT_ONCE])
            for first in range(0, len(images), _PICTURES_AT_ONCE)
        ]
        return F.normalize(torch.cat(vectors).float(), dim=1)

    @abstractmethod
    def _embed(self, images: Images) -> Tensor:
        """Turn (b, 3, H, W) in [0, 1] into (b, D) vectors of any length."""

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.parameters()).device


class _Transformer(Embedder):
    """A network of transformers, with the preparation of pictures that it was trained with.

    But where that would cut the middle out of a picture that is not square, the whole is squeezed
    into a square first, as the preparation of SigLIP (Zhai et al. 2023), CMMD (Jayasumana et al.
    2024) and DINO's own in transformers do: what a prompt asks for may stand anywhere. Square
    pictures are prepared as ever.
    """

    def __init__(self, image_processor: Any) -> None:
        super().__init__()
        self.image_processor = image_processor

    def _pixel_values(self, images: Images) -> Tensor:
        # as a file would hold them: the processors resize bytes, not floats
        arrays = [(255 * image).round().to("cpu", torch.uint8).numpy() for image in images]
        batch = self.image_processor(
            [self._squeezed(each) for each in arrays],
            return_tensors="pt",
            input_data_format="channels_first",
        )
        pixel_values: Tensor = batch["pixel_values"]
        return pixel_values.to(self.device)

    def _squeezed(self, pixels: np.ndarray) -> np.ndarray:
        """Make (3, H, W) bytes square, if the processor would cut off what is not."""
        side = dict(self.image_processor.size or {}).get("shortest_edge")
        if side is None or pixels.shape[1] == pixels.shape[2]:
            return pixels
        resample = Image.Resampling(self.image_processor.resample)
        image = Image.fromarray(pixels.transpose(1, 2, 0)).resize((side, side), resample)
        return np.asarray(image).transpose(2, 0, 1)  # (side, side, 3) -> (3, side, side)


class CLIPEmbedder(_Transformer):
    """Pictures and texts in the space of a CLIP (Radford et al. 2021).

    Args:
        model: A `transformers.CLIPModel`.
        image_processor: Its image processor: size, crop, mean and deviation.
        tokenizer: Its tokenizer.
    """

    def __init__(self, model: CLIPModel, image_processor: Any, tokenizer: CLIPTokenizer) -> None:
        super().__init__(image_processor)
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Embed texts; what is beyond the model's length is cut off.

        Args:
            texts: B texts.

        Returns:
            (B, D) float32 unit vectors.
        """
        tokens = self.tokenizer(
            list(texts),
            padding=True,
            truncation=True,
            max_length=self.model.config.text_config.max_position_embeddings,
            return_tensors="pt",
        ).to(self.device)
        output = self.model.get_text_features(
            input_ids=tokens.input_ids, attention_mask=tokens.attention_mask
        )
        return F.normalize(output.pooler_output.float(), dim=1)

    def _embed(self, images: Images) -> Tensor:
        features: Tensor = self.model.get_image_features(self._pixel_values(images)).pooler_output
        return features


class DINOEmbedder(_Transformer):
    """The class token of a DINO (Caron et al. 2021) or DINOv2 (Oquab et al. 2023).

    Args:
        model: A `transformers.ViTModel` or `Dinov2Model`.
        image_processor: Its image processor.
    """

    def __init__(self, model: PreTrainedModel, image_processor: Any) -> None:
        super().__init__(image_processor)
        self.model = model.eval().requires_grad_(False)

    def _embed(self, images: Images) -> Tensor:
        states: Tensor = self.model(self._pixel_values(images)).last_hidden_state
        return states[:, 0]  # (b, L, D) -> (b, D)


def check_clip(source: str | Path) -> str:
    """Check that there is a CLIP, by its configuration alone.

    Args:
        source: See `load_clip`.

    Returns:
        The folder or Hugging Face id that it is loaded from.

    Raises:
        ValueError: If it is not available here or is not a CLIP; one sentence says what to do.
    """
    path = _find(source)
    _check_type(path, source, ("clip",), "a CLIP")
    return path


def check_dino(source: str | Path) -> str:
    """Check that there is a DINO, by its configuration alone.

    Args:
        source: See `load_dino`.

    Returns:
        The folder or Hugging Face id that it is loaded from.

    Raises:
        ValueError: If it is not available here or is not a DINO; one sentence says what to do.
    """
    path = _find(source)
    _check_type(path, source, ("vit", "dinov2", "dinov2_with_registers"), "a DINO")
    return path


def load_clip(source: str | Path = NANO) -> CLIPEmbedder:
    """Load a CLIP for evaluation, in float32 on the CPU.

    Args:
        source: `nano` for the CLIP that nano's pictures are judged with, which is not the one that
            conditions it; a folder; or a Hugging Face id such as `openai/clip-vit-base-patch16`.

    Returns:
        The frozen network.

    Raises:
        ValueError: If it is not available here, is not a CLIP, or lacks weights; one sentence says
            what to do.
    """
    from transformers import CLIPModel, CLIPTokenizer

    path = check_clip(source)
    with _explained(source):
        return CLIPEmbedder(
            load_whole(CLIPModel, path, dtype=torch.float32),
            _load_image_processor(path),
            CLIPTokenizer.from_pretrained(path),
        )


def load_dino(source: str | Path = "facebook/dinov2-small") -> DINOEmbedder:
    """Load a DINO for evaluation, in float32 on the CPU.

    Args:
        source: A Hugging Face id, such as `facebook/dino-vits16`, which DreamBooth's paper used,
            or a folder.

    Returns:
        The frozen network.

    Raises:
        ValueError: If it is not available here, is not a DINO, or lacks weights; one sentence says
            what to do.
    """
    from transformers import AutoModel

    path = check_dino(source)
    with _explained(source):
        return DINOEmbedder(
            # DINO was published without the pooler that transformers' ViT has, and none is used
            load_whole(AutoModel, path, unused=("pooler.",), dtype=torch.float32),
            _load_image_processor(path),
        )


def _load_image_processor(path: str) -> Any:
    # transformers 5.4 hides it at the top level where torchvision is missing, which Pillow's
    # way of resizing does not need
    from transformers.models.auto.image_processing_auto import AutoImageProcessor

    return AutoImageProcessor.from_pretrained(path, backend="pil")


def _find(source: str | Path) -> str:
    is_nano = source == NANO
    path = nano_judge() if is_nano else Path(source)
    if is_nano and not path.is_dir():
        raise ValueError(f"nano's evaluation CLIP is missing from this installation: no {path}.")
    if not path.is_dir() and not _HUB_ID.fullmatch(str(source)):
        raise ValueError(
            "Expected an evaluation model to be a folder or a Hugging Face id such as "
            f"`openai/clip-vit-base-patch16`, but got `{source}`."
        )
    return str(path)


def _check_type(path: str, source: str | Path, allowed: Sequence[str], what: str) -> None:
    from transformers import AutoConfig

    with _explained(source):
        found = AutoConfig.from_pretrained(path).model_type
    if found not in allowed:
        raise ValueError(f"Expected the evaluation model {source} to be {what}, but got `{found}`.")


@contextmanager
def _explained(source: str | Path) -> Iterator[None]:
    """Say in one sentence why a model could not be loaded; quietly while it can."""
    from huggingface_hub import is_offline_mode
    from safetensors import SafetensorError
    from transformers.utils import logging as transformers_logging

    had_bars = transformers_logging.is_progress_bar_enabled()
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity(logging.ERROR)  # a DINO has no weights of a pooler
    try:
        yield
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        if source == NANO or Path(source).is_dir() or isinstance(error, NotWholeError):
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"The evaluation model {source} could not be loaded: {reason}"
            ) from error
        state = "is switched off by HF_HUB_OFFLINE" if is_offline_mode() else "does not offer it"
        raise ValueError(
            f"The evaluation model {source} is neither a folder here nor complete in the local "
            f"Hugging Face cache, and the hub {state}: run `hf download {source}` with a network, "
            "or give a folder."
        ) from error
    finally:
        transformers_logging.set_verbosity(verbosity)
        if had_bars:
            transformers_logging.enable_progress_bar()
