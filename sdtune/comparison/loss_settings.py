"""Which settings make the training loss another loss, so that less of it is not better.

The two lists hold every argument of every technique and data module, which a test sees to: one that
is new is put into the one or the other. An argument that neither holds, of a class from outside
sdtune, counts as one that changes the loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sdtune._checks import shortened
from sdtune.files.text_file import parse_yaml_text, read_text
from sdtune.run_folder.layout import RunFolder

__all__ = ["CHANGE_LOSS", "KEEP_LOSS", "loss_differences", "loss_settings"]

CHANGE_LOSS: Mapping[str, str] = {
    "model.min_snr_gamma": "timesteps are weighed",
    "model.noise_offset": "other noise is predicted",
    "model.keep_content_above": "at high noise the base's own prediction is the target",
    "model.prior_loss_weight": "the class pictures' loss is added",
    "model.class_inference_steps": "other class pictures are drawn",
    "model.class_guidance_scale": "other class pictures are drawn",
    "model.dropout": "predictions are disturbed while they are learned from",
    "data.unmasked_weight": "places are weighed",
    "data.resolution": "pictures are of other sizes",
    "data.buckets": "pictures are of other sizes",
    "data.crop": "other parts of pictures are seen",
    "data.flip": "mirrored pictures are seen",
    "data.repeats": "pictures of several kinds have other shares",
    "data.class_dir": "other class pictures are seen",
    "data.class_prompt": "other class pictures are seen",
    "data.class_count": "other class pictures are seen",
    "data.concepts": "other subjects and classes are seen",
    "data.mixed_prompts": "pictures of several subjects are seen too",
    "data.mixed_count": "pictures of several subjects are seen too",
    "data.mixed_repeats": "pictures of several subjects are seen too",
    # what captions tell of a picture need not be guessed
    "data.folder": "captions and masks lie beside the pictures",
    "data.instance_dir": "captions and masks lie beside the pictures",
    "data.source": "captions are read by it",
    "data.caption_column": "captions are read from it",
    "data.image_column": "pictures are read from it",
    "data.captioner": "captions are made by it",
    "data.instance_prompt": "it is in captions",
    "data.prompt_templates": "they are around captions",
    "data.caption_replacements": "captions are changed",
    "data.class_noun": "it is in captions",
    "data.identifier": "it is in captions",
    "data.subject_name": "it is in captions",
    "data.trigger": "it is in captions",
    "data.caption_prefix": "it is in captions",
    "data.caption_suffix": "it is in captions",
    "data.caption_dropout": "captions are left out",
    "data.shuffle_tags": "captions are changed",
    "data.tag_dropout": "captions are changed",
    "data.keep_tokens": "captions are changed",
}
"""Key of a recipe -> why the same weights have another loss with another value of it."""

_LEARNS = (
    *("rank", "alpha", "text_encoder_rank", "text_encoder_alpha", "target_modules", "use_dora"),
    *("adapter_type", "full_finetune", "adapter", "placeholder_token", "placeholder_tokens"),
    *("initializer_token", "initializer_tokens", "num_vectors", "embedding_norm"),
    "embedding_stop_fraction",
)
_HOW_FAST = (
    *("learning_rate", "text_encoder_learning_rate", "embedding_learning_rate", "optimizer"),
    *("weight_decay", "lr_schedule", "warmup_steps", "roll_backs"),
)
_SAME_STEP = ("gradient_checkpointing", "cuda_graphs", "compile", "quantization")
_SAME_MEAN = ("seed",)
_COMPARED_BESIDE = ("base", "clip_skip", "max_prompt_chunks")  # see `results.check_comparable`

_DATA = (
    *("batch_size", "seed", "cached_views"),  # the mean is over as many, or chosen by chance
    *("validation_count", "validation_share", "on_problem"),  # the pictures are compared
    *("num_workers", "cache_latents", "cache_dir", "write_captions"),
)

KEEP_LOSS = {
    f"model.{each}" for each in (*_LEARNS, *_HOW_FAST, *_SAME_STEP, *_SAME_MEAN, *_COMPARED_BESIDE)
} | {f"data.{each}" for each in _DATA}
"""Keys with which the loss is the same mean, whatever comes of it."""

_PLACES = ("data.folder", "data.instance_dir", "data.class_dir")


def loss_settings(folder: Path) -> dict[str, Any]:
    """Read from a run's resolved recipe what its training loss is.

    Args:
        folder: The run folder.

    Returns:
        Key -> value, of the data module's class and all arguments that are not in `KEEP_LOSS`;
        empty if the recipe cannot be read.
    """
    try:
        recipe = parse_yaml_text(read_text(RunFolder(folder).latest_config))
    except (OSError, ValueError):
        return {}
    found: dict[str, Any] = {}
    for part in ("model", "data"):
        chosen = recipe.get(part) if isinstance(recipe, dict) else None
        if isinstance(chosen, dict):
            found[f"{part}.class_path"] = str(chosen.get("class_path")).rpartition(".")[2]
            arguments = chosen.get("init_args") or {}
            found |= {f"{part}.{name}": value for name, value in arguments.items()}
    for name in _PLACES:
        if isinstance(found.get(name), str):
            found[name] = str(Path(found[name]).resolve())
    return {name: value for name, value in found.items() if name not in KEEP_LOSS}


def loss_differences(runs: Sequence[Mapping[str, Any]]) -> str:
    """Say in what the losses of runs differ.

    Args:
        runs: The settings of each, see `loss_settings`. What only some of them say is passed over.

    Returns:
        Such as "`model.min_snr_gamma` (null and 1)"; empty if they are one loss.
    """
    values: dict[str, list[Any]] = {}
    for settings in runs:
        for name, value in settings.items():
            known = values.setdefault(name, [])
            if value not in known:
                known.append(value)
    differing = {name: known for name, known in values.items() if len(known) > 1}
    # another class has other arguments, and then they need no telling
    others = {name.partition(".")[0] for name in differing if name.endswith(".class_path")}
    return ", ".join(
        f"`{name}` ({' and '.join(map(_shown, known))})"
        for name, known in differing.items()
        if name.endswith(".class_path") or name.partition(".")[0] not in others
    )


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return value if isinstance(value, str) and 0 < len(value) <= 60 else shortened(value)
