"""The prompts of the data, encoded once before training, where nothing of the encoder learns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import lightning.pytorch as pl
import torch

from sdtune.models import Conditioning, PromptCache
from sdtune.models.stable_diffusion import StableDiffusion

__all__ = ["remembered_prompts"]


def remembered_prompts(
    model: StableDiffusion,
    clip_skip: int,
    encode: Callable[[Sequence[str]], Conditioning],
    data: Any,
    trainer: pl.Trainer,
    device: torch.device,
) -> PromptCache:
    """Encode the captions of some data; of several processes each encodes its share.

    Args:
        model: The base, whose text encoders do not learn.
        clip_skip: The layer that is read, counted from the end.
        encode: Turns captions into their conditioning, with those.
        data: A data module, with `captions` if there are any to encode before, and `features` if
            they are kept on disk.
        trainer: The Trainer, whose processes share the work.
        device: Where the text encoders are.

    Returns:
        A cache that knows them.
    """
    dtype = next(model.text_encoders.parameters()).dtype
    encoder = f"{model.fingerprint('text_encoders')}-{dtype}-{clip_skip}"
    prompts = PromptCache(getattr(data, "features", None), encoder)
    captions: list[str] = data.captions() if hasattr(data, "captions") else []
    if trainer.world_size > 1 and prompts.store is not None:
        prompts.remember(captions[trainer.global_rank :: trainer.world_size], encode, device)
        trainer.strategy.barrier("remembered_prompts")
        prompts.store.refresh()
    prompts.remember(captions, encode, device)
    return prompts
