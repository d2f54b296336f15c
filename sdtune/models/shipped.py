"""Configurations and a vocabulary that come with sdtune, for bases that are weights alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from sdtune.functional.diffusion import PredictionType

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

__all__ = ["is_shipped", "shipped_configuration", "shipped_folder", "shipped_tokenizer"]

_UNET = "model.diffusion_model."
_CROSS_ATTENTION = "transformer_blocks.0.attn2.to_k.weight"

# a folder here -> a weight of the UNet, its shape, and how many weights the UNet has: distilled
# models keep the shapes and leave out blocks
_FINGERPRINTS: Mapping[str, tuple[str, tuple[int, int], int]] = {
    "stable_diffusion_1": (f"{_UNET}input_blocks.2.1.{_CROSS_ATTENTION}", (320, 768), 686),
    "stable_diffusion_2": (f"{_UNET}input_blocks.2.1.{_CROSS_ATTENTION}", (320, 1024), 686),
    "stable_diffusion_xl": (f"{_UNET}input_blocks.4.1.{_CROSS_ATTENTION}", (640, 2048), 1680),
}


def shipped_configuration(
    header: Mapping[str, Tensor], prediction_type: PredictionType
) -> Path | None:
    """Find the configuration that comes with sdtune for a file's weights.

    Args:
        header: Names in the original layout -> tensors of the right shapes, of whatever values.
        prediction_type: What the UNet predicts.

    Returns:
        A folder in diffusers' layout without weights, or None if the weights are of other sizes.
    """
    count = sum(name.startswith(_UNET) for name in header)
    for folder, (name, shape, expected) in _FINGERPRINTS.items():
        if name in header and tuple(header[name].shape) == shape and count == expected:
            is_base = folder == "stable_diffusion_2" and prediction_type == "epsilon"
            return _root() / (f"{folder}_base" if is_base else folder)
    return None


def shipped_folder(name: str) -> Path:
    """Name the folder of one of `shipped_configuration`'s.

    Args:
        name: Such as `stable_diffusion_1`.
    """
    return _root() / name


def is_shipped(folder: Path) -> bool:
    """Tell whether a folder is one of `shipped_configuration`'s."""
    return folder.parent == _root()


def shipped_tokenizer(folder: Path, name: str) -> CLIPTokenizer:
    """Make one of the tokenizers of a configuration that comes with sdtune.

    Its vocabulary follows from CLIP's merges: the 256 bytes, each also as the end of a word, what
    each merge makes, and two special tokens.

    Args:
        folder: What `shipped_configuration` found.
        name: `tokenizer`, or `tokenizer_2` of Stable Diffusion XL.

    Returns:
        CLIP's tokenizer, of 49 408 tokens.
    """
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    settings: dict[str, Any] = json.loads((folder / name / "tokenizer_config.json").read_text())
    merges = (_root() / "clip_merges.txt").read_text(encoding="utf-8").rstrip("\n").split("\n")
    letters = sorted(ByteLevel.alphabet())
    pieces = [
        *letters,
        *(f"{letter}</w>" for letter in letters),
        *(merge.replace(" ", "") for merge in merges),
        settings["bos_token"],
        settings["eos_token"],
    ]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    settings.pop("tokenizer_class")
    pairs: Any = [tuple(merge.split(" ")) for merge in merges]
    return CLIPTokenizer(vocab=vocabulary, merges=pairs, **settings)


def _root() -> Path:
    return Path(str(files("sdtune"))) / "models" / "configurations"
