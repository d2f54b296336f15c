"""What kohya's trainer writes into a LoRA's header, and A1111 and ComfyUI's nodes read there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from safetensors.torch import save
from torch import Tensor

from sdtune.adapters.lora.adapter import LoRAAdapter
from sdtune.files.confined_path import confined_name

__all__ = ["HASH_KEYS", "OUTPUT_NAME", "kohya_header"]

OUTPUT_NAME = "ss_output_name"
"""Key of the name that the file has, and that programs show."""

HASH_KEYS = frozenset({"sshs_model_hash", "sshs_legacy_hash", "modelspec.hash_sha256"})
"""Keys of the hashes of a file's own tensors."""

_PREDICTION_TYPES = {"epsilon": "epsilon", "v_prediction": "v"}

# ours -> kohya's, where both mean the same
_SAME = {
    "sdtune.learning_rate": ("ss_learning_rate", "ss_unet_lr"),
    "sdtune.text_encoder_learning_rate": ("ss_text_encoder_lr",),
    "sdtune.optimizer": ("ss_optimizer",),
    "sdtune.lr_schedule": ("ss_lr_scheduler",),
    "sdtune.warmup_steps": ("ss_lr_warmup_steps",),
    "sdtune.seed": ("ss_seed",),
    "sdtune.steps": ("ss_steps",),
    "sdtune.clip_skip": ("ss_clip_skip",),
    "sdtune.noise_offset": ("ss_noise_offset",),
    "sdtune.min_snr_gamma": ("ss_min_snr_gamma",),
    "sdtune.prior_loss_weight": ("ss_prior_loss_weight",),
    "sdtune.gradient_checkpointing": ("ss_gradient_checkpointing",),
    "sdtune.dropout": ("ss_network_dropout",),
    "sdtune.num_train_images": ("ss_num_train_images",),
    "sdtune.num_class_images": ("ss_num_reg_images",),
    "sdtune.batch_size": ("ss_batch_size_per_device",),
    "sdtune.epochs": ("ss_num_epochs",),
}


def kohya_header(
    adapter: LoRAAdapter, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> dict[str, str]:
    """Make the strings of a header, with nothing that names a folder or a file on this machine.

    Args:
        adapter: What is written.
        tensors: As the file holds them.
        metadata: What is known of the run, under sdtune's names; these stay too.

    Returns:
        All strings.
    """
    header = dict(metadata)
    for ours, theirs in _SAME.items():
        if metadata.get(ours, "None") != "None":
            header |= dict.fromkeys(theirs, metadata[ours])
    base, output_name = adapter.base, confined_name(metadata.get(OUTPUT_NAME, ""))
    if OUTPUT_NAME in header:  # of a converted file it may be a path on somebody's machine
        header[OUTPUT_NAME] = output_name
    header |= _network(adapter)
    header |= {
        "ss_base_model_version": base.version,
        "ss_v2": str(base.version.startswith("sd_v2")),
        "ss_resolution": f"({base.resolution}, {base.resolution})",
    }
    header |= {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": f"{base.architecture}/lora",
        "modelspec.implementation": (
            "https://github.com/Stability-AI/generative-models" if base.is_xl else "diffusers"
        ),
        "modelspec.title": output_name or "LoRA",
        "modelspec.resolution": f"{base.resolution}x{base.resolution}",
        "modelspec.prediction_type": _PREDICTION_TYPES.get(
            base.prediction_type, base.prediction_type
        ),
    }
    if metadata.get("sdtune.clip_skip", "1") != "1":
        header["modelspec.encoder_layer"] = metadata["sdtune.clip_skip"]
    return header | _hashes(tensors, header)


def _network(adapter: LoRAAdapter) -> dict[str, str]:
    sizes = {}
    for part in adapter.weights:
        update = next(iter(adapter.updates(part).values()))
        sizes[part] = adapter.configs[part].r, update.alpha
    rank, alpha = sizes.get("unet", next(iter(sizes.values())))
    arguments: dict[str, str] = {}
    if adapter.adapter_type != "lora":
        arguments["algo"] = adapter.adapter_type
    for part, (own_rank, own_alpha) in sizes.items():
        if (own_rank, own_alpha) != (rank, alpha):
            arguments |= {f"{part}_dim": str(own_rank), f"{part}_alpha": f"{own_alpha:g}"}
    header = {
        "ss_network_module": (
            "networks.lora" if adapter.adapter_type == "lora" else "lycoris.kohya"
        ),
        "ss_network_dim": str(rank),
        "ss_network_alpha": f"{alpha:g}",
    }
    return header | ({"ss_network_args": json.dumps(arguments)} if arguments else {})


def _hashes(tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> dict[str, str]:
    """Hash the tensors' bytes, and the piece of the file that A1111 once took for its hash."""
    training = {key: value for key, value in sorted(header.items()) if key.startswith("ss_")}
    content = save(dict(tensors), training)
    start = 8 + int.from_bytes(content[:8], "little")
    whole = hashlib.sha256(content[start:]).hexdigest()
    # of the tensors alone, so that equal runs have equal files: a header's order is not fixed
    legacy = hashlib.sha256(content[start:][0x100000:0x110000]).hexdigest()[:8]
    return {
        "sshs_model_hash": whole,
        "sshs_legacy_hash": legacy,
        "modelspec.hash_sha256": f"0x{whole}",
    }
