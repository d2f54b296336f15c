"""What is encoded once and kept: latents of pictures, and prompts if no text encoder learns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_info

from sdtune._wording import counted
from sdtune.files.cache_folder import size_words
from sdtune.models import Conditioning, PromptCache
from sdtune.models.devices import chosen_device
from sdtune.models.identity import identity
from sdtune.models.stable_diffusion import StableDiffusion
from sdtune.techniques.trainer_problems import BASE_DTYPES
from sdtune.techniques.tuned_model import TunedModelModule

__all__ = ["encode_before_training", "fill_features"]

EncodeCaptions = Callable[[Sequence[str]], Conditioning]


def encode_before_training(
    module: TunedModelModule, encode: EncodeCaptions, data: Any
) -> PromptCache | None:
    """Encode what nothing random touches, and send the encoders off the device.

    Of several processes each encodes its share.

    Args:
        module: A technique whose Trainer starts to fit.
        encode: Turns captions into their conditioning, as the technique does it.
        data: A data module, with `cache_latents` and `captions` if it has such pictures and
            captions, and `features` if they are kept on disk.

    Returns:
        A cache that knows the captions; None if text encoders learn, or captions are drawn that
            it could not know: then text encoders stay.
    """
    model, trainer = module.model, module.trainer
    if getattr(data, "can_cache_latents", False):
        key = _latents_key(module)
        kept = data.cache_latents(model.encode_images, key, module.device)
        if kept is not False:  # a data module of somebody's own may return nothing
            model.vae.cpu()
    if module.encodes_prompts_every_step:
        return None
    if getattr(data, "draws_captions", False):
        rank_zero_info("Captions are encoded at every step, for their tags are drawn anew in each.")
        return None
    prompts = PromptCache(getattr(data, "features", None), _prompts_key(module))
    captions: list[str] = data.captions() if hasattr(data, "captions") else []
    has_room = _have_room(prompts, captions, encode)
    if trainer.world_size > 1:
        # one decides: what others have written meanwhile would make the answers differ
        has_room = trainer.strategy.broadcast(has_room)
    if not has_room:
        return prompts
    if trainer.world_size > 1 and prompts.store is not None:
        share = captions[trainer.global_rank :: trainer.world_size]
        _remember(prompts, share, encode, model, module.device)
        trainer.strategy.barrier("encode_before_training")
        prompts.store.refresh()
    _remember(prompts, captions, encode, model, module.device)
    if captions:
        are = counted(
            len(captions), "caption that samples have is", "captions that samples have are"
        )
        rank_zero_info(f"{are} encoded once.")
    model.text_encoders.to("cpu")
    return prompts


def fill_features(
    module: TunedModelModule,
    encode: EncodeCaptions,
    data: Any,
    precision: str,
    share: int = 0,
    shares: int = 1,
) -> None:
    """Encode a share of some data, without training, for runs that come later.

    Args:
        module: A technique, loaded or not.
        encode: Turns captions into their conditioning, as the technique does it.
        data: A data module of pictures.
        precision: The Trainer's, which names the dtype of the text encoders.
        share: Which share, from 0.
        shares: How many there are.
    """
    module.load_base(BASE_DTYPES[precision])
    device = chosen_device()
    module.model.to(device)
    if data.can_cache_latents:
        data.fill_latents(
            module.model.encode_images,
            _latents_key(module),
            device,
            share=share,
            shares=shares,
            resolution=module.model.resolution,
        )
    if not module.encodes_prompts_every_step and not data.draws_captions:
        prompts = PromptCache(data.features, _prompts_key(module))
        _remember(prompts, data.captions()[share::shares], encode, module.model, device)


def _have_room(prompts: PromptCache, captions: Sequence[str], encode: EncodeCaptions) -> bool:
    """Tell whether all captions can be kept; if not, say that each is encoded when it is met."""
    if prompts.store is None or not captions:
        return True
    with torch.no_grad():
        row = encode(captions[:1])
    tensors = [row.encoder_hidden_states, *row.added_cond_kwargs.values()]
    distinct = set(captions)
    needed = len(distinct) * sum(each.nbytes for each in tensors)
    if prompts.has_room(needed, captions):
        return True
    rank_zero_info(
        f"{len(distinct)} encoded captions would take {size_words(needed)}, and there is room for "
        f"{size_words(prompts.store.room())} in {prompts.store.folder}, so each is encoded when it "
        "is met; SDTUNE_CACHE_LIMIT allows more."
    )
    return False


def _latents_key(module: TunedModelModule) -> str:
    return f"{identity(module.model, 'vae')}-{module.model.vae.dtype}"


def _prompts_key(module: TunedModelModule) -> str:
    model = module.model
    dtype = next(model.text_encoders.parameters()).dtype
    name = identity(model, "text_encoders")
    return f"{name}-{dtype}-{module.clip_skip}-{model.max_prompt_chunks} chunks"


def _remember(
    prompts: PromptCache,
    captions: Sequence[str],
    encode: EncodeCaptions,
    model: StableDiffusion,
    device: torch.device,
) -> None:
    """Encode captions of one number of chunks at a time: none is repeated beside a longer one."""
    counts = model.chunk_counts(captions) if model.max_prompt_chunks > 1 else [1] * len(captions)
    for count in sorted(set(counts)):
        same = [each for each, own in zip(captions, counts, strict=True) if own == count]
        prompts.remember(same, encode, device)
