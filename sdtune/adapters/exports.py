"""The same LoRA in the layouts of other programs, each file proved by loading it back."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import torch

from sdtune.adapters import diffusers_format, kohya_format, peft_format
from sdtune.adapters.diffusers_format import frozen_copy
from sdtune.adapters.lora import LoRAAdapter
from sdtune.adapters.pivotal import EMBEDDING_KEY
from sdtune.adapters.random_state import isolated_random_state
from sdtune.adapters.verification import AdapterVerificationError, evaluating, prediction
from sdtune.files import tensor_file
from sdtune.models.stable_diffusion import StableDiffusion

__all__ = ["PEFT_FOLDER", "export_lora", "export_saved_lora"]

log = logging.getLogger(__name__)

PEFT_FOLDER = "peft"

_OF_THE_FILE = {*tensor_file.RESERVED, diffusers_format.CONFIG_KEY, EMBEDDING_KEY}


@torch.no_grad()
def export_lora(
    adapter: LoRAAdapter,
    folder: str | Path,
    model: StableDiffusion,
    metadata: Mapping[str, str] | None = None,
) -> list[Path]:
    """Write a LoRA for A1111 and ComfyUI (kohya's layout) and for PEFT.

    Args:
        adapter: The LoRA. A DoRA is left out: neither layout is read alike by all programs.
        folder: Where `kohya_lora.safetensors` and the folder `peft` go.
        model: The model that it was taken from; it is left as it was.
        metadata: Strings for the headers.

    Returns:
        The file and the folder; nothing for a DoRA.

    Raises:
        AdapterVerificationError: If one of them, loaded back, predicts anything else.
        FileExistsError: If files of these names are there which sdtune did not write.
    """
    if any(config.use_dora for config in adapter.configs.values()):
        log.info("A DoRA is written as diffusers reads it, and in no other layout.")
        return []
    kohya = kohya_format.save(adapter, folder, metadata)
    peft = peft_format.save(adapter, Path(folder) / PEFT_FOLDER, metadata)
    with isolated_random_state(), evaluating(model):
        expected = prediction(model)
        for path, load in ((kohya, kohya_format.load), (peft, peft_format.load)):
            fresh = frozen_copy(model)
            load(fresh, path)
            error = (prediction(fresh) - expected).abs().max().item()
            atol = 1e-3 if model.dtype == torch.float32 else 0.05
            if not error <= atol:  # also catches nan
                raise AdapterVerificationError(
                    f"Expected {path} to predict what the trained model does, but the UNet's "
                    f"output differs by {error:.2e}, more than {atol:.2e}."
                )
    return [kohya, peft]


def export_saved_lora(folder: str | Path, model: StableDiffusion) -> list[Path]:
    """Write what `export_lora` writes beside a LoRA that was saved before.

    Args:
        folder: Where it was saved, in diffusers' layout.
        model: A bundle of the same base, with whatever adapter; it is left as it was.

    Returns:
        As in `export_lora`; nothing if there is no LoRA in the folder.

    Raises:
        AdapterVerificationError: If one of them, loaded back, predicts anything else.
    """
    path = Path(folder) / diffusers_format.FILE_NAME
    if not path.is_file():
        return []
    saved = frozen_copy(model)
    diffusers_format.load(saved, path)
    header = tensor_file.read_metadata(path)
    metadata = {key: each for key, each in header.items() if key not in _OF_THE_FILE}
    return export_lora(LoRAAdapter.from_model(saved), folder, saved, metadata)
