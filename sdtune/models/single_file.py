"""A base in one `.safetensors` or `.ckpt` file, in the layout of the original Stable Diffusion."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sdtune.files.whole_weights import NotWholeError
from sdtune.functional.diffusion import PredictionType
from sdtune.models.families import Family, families
from sdtune.models.foreign import foreign_name_of_file
from sdtune.models.shipped import is_shipped, shipped_configuration, shipped_tokenizer
from sdtune.models.trained_schedule import SCHEDULER_CONFIG, check_trained_schedule, retold
from sdtune.models.whole_file import check_no_weight_is_empty, explain_absent

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from transformers import CLIPTokenizer

__all__ = ["SUFFIXES", "SingleFile", "find_single_file"]

SUFFIXES = (".safetensors", ".ckpt")

# in Stable Diffusion 2, this weight is spread wider where the UNet predicts v; so tells ComfyUI
_TELLING = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"
_SPREAD_OF_V = 0.09

# names that fine-tuners of Stable Diffusion XL put into a file to say how it was trained
_PREDICTS_V, _ENDS_IN_NOISE = "v_pred", "ztsnr"

# what the originals' configurations call a prediction -> its type; then those of another process
_PREDICTIONS_IN_YAML: Mapping[str, PredictionType] = {
    "v": "v_prediction",
    "v_prediction": "v_prediction",
    "eps": "epsilon",
    "x0": "sample",
    "VScaling": "v_prediction",
    "EpsScaling": "epsilon",
}
_NOISE_OF_EDM = ("EDMScaling", "VScalingWithEDMcNoise")

_NESTED = 3  # state dicts inside of others, at most


@dataclass(frozen=True)
class SingleFile:
    """One file that holds a whole model, and what goes with it.

    Such a file holds weights alone. The configurations and the vocabulary come from a folder in
    diffusers' layout (weights not needed): one named as the file without its suffix, or the file's
    own; else from those of Stable Diffusion 1, 2 and XL that come with sdtune; for weights of other
    sizes from the repository that diffusers infers, in the local Hugging Face cache or downloaded.

    Attributes:
        path: The file.
        family: The family that its weights' names tell.
        config: The folder with the configurations.
        noise_schedule: What the configuration's noise schedule is not told right.
    """

    path: Path
    family: Family
    config: Path
    noise_schedule: Mapping[str, Any]

    def load(self) -> DiffusionPipeline:
        """Load the model.

        Returns:
            The family's diffusers pipeline, without a safety checker.

        Raises:
            ValueError: If a part of the model or any weight lacks in the file.
        """
        from diffusers.loaders.single_file_utils import SingleFileComponentError

        pipeline_class: Any = self.family.pipeline_class()  # its mixin can read such files
        names = self.family.tokenizer_names if is_shipped(self.config) else ()
        try:
            pipeline: DiffusionPipeline = pipeline_class.from_single_file(
                str(self.path),
                config=str(self.config),
                local_files_only=True,
                **{name: shipped_tokenizer(self.config, name) for name in names},
                **self.family.pipeline_options,
            )
            for name in self.family.weighted_parts:
                check_no_weight_is_empty(getattr(pipeline, name), self.path, name)
        except (SingleFileComponentError, LookupError, ValueError, RuntimeError) as error:
            # diffusers stops at the first weight that is not there, or has another shape
            told = explain_absent(self.path, _read_header(self.path), self.family, self.config)
            if told is not None:
                raise NotWholeError(told) from error
            raise ValueError(str(error)) from error
        pipeline.scheduler = retold(pipeline.scheduler, self.noise_schedule)
        return pipeline

    def tokenizer(self, name: str) -> CLIPTokenizer:
        """Load one of its tokenizers, and no weights.

        Args:
            name: As the family names it.

        Raises:
            OSError: If the configuration has none.
        """
        from transformers import CLIPTokenizer

        if is_shipped(self.config):
            return shipped_tokenizer(self.config, name)
        tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(
            str(self.config), subfolder=name, local_files_only=True
        )
        return tokenizer


def find_single_file(path: Path) -> SingleFile:
    """Check that a file holds a whole model of a family, without reading its weights.

    Args:
        path: The file.

    Returns:
        The file with what goes with it.

    Raises:
        ValueError: If it does not exist, cannot be read safely, is another kind of model or trained
            by another noise process, lacks a part, or no configuration can be found for it (see
            `SingleFile`).
    """
    if not path.is_file():
        raise ValueError(f"Expected `base` to be an existing file, but there is no {path}.")
    header = _read_header(path)
    foreign = foreign_name_of_file(header)
    if foreign:
        known = " or ".join(f"a {each.name} for text to image" for each in families())
        raise ValueError(f"Expected `base` to be {known}, but {path} is {foreign}.")
    family = _family_of(path, header)
    told = _told_prediction_type(path, header)
    # what the file says of itself goes before what any folder says
    schedule: dict[str, Any] = {"rescale_betas_zero_snr": True} if _ENDS_IN_NOISE in header else {}
    if told is not None:
        schedule["prediction_type"] = told
    for folder in (path.with_suffix(""), path.parent):
        if (folder / "model_index.json").is_file():
            _check_schedule_of(folder, path)
            return SingleFile(path, family, folder, schedule)
    prediction_type = told or _seen_prediction_type(path, header)
    shipped = shipped_configuration(header, prediction_type)
    if shipped is None:
        config = _find_on_hub(path, header)
        _check_schedule_of(config, path)
        return SingleFile(path, family, config, schedule)
    return SingleFile(path, family, shipped, {**schedule, "prediction_type": prediction_type})


def _check_schedule_of(config: Path, path: Path) -> None:
    if not (config / SCHEDULER_CONFIG).is_file():
        raise ValueError(
            f"Expected {config}, which describes `base` {path}, to hold {SCHEDULER_CONFIG}, but it "
            "does not: put that of its model there, or move the folder away from the file."
        )
    check_trained_schedule(config / "model_index.json", config / SCHEDULER_CONFIG, str(path))


def _family_of(path: Path, header: Mapping[str, Tensor]) -> Family:
    lacking = {
        family: [
            part
            for prefix, part in family.single_file_parts.items()
            if not any(name.startswith(prefix) for name in header)
        ]
        for family in families()
    }
    nearest = max(
        lacking,
        key=lambda each: (not lacking[each], len(each.single_file_parts) - len(lacking[each])),
    )
    if lacking[nearest]:
        raise ValueError(
            f"Expected `base` {path} to hold a whole {nearest.name} in the original "
            f"layout, but it lacks {', '.join(lacking[nearest])}."
        )
    return nearest


def _told_prediction_type(path: Path, header: Mapping[str, Tensor]) -> PredictionType | None:
    """Read what a file, or the original's configuration beside it, says that it predicts."""
    if _PREDICTS_V in header:
        return "v_prediction"
    beside = path.with_suffix(".yaml")  # A1111 looks for it there
    told_beside = _told_by_yaml(path, beside) if beside.is_file() else None
    if told_beside is not None:
        return told_beside
    if path.suffix != ".safetensors":
        return None
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
    told = metadata.get("modelspec.prediction_type")  # of the ModelSpec standard
    if told in ("v", "v_prediction"):
        return "v_prediction"
    return "epsilon" if told == "epsilon" else None


def _told_by_yaml(path: Path, beside: Path) -> PredictionType | None:
    """Read what the original's configuration says; most say nothing and leave it to the file."""
    text = re.sub(r"#.*", "", beside.read_text(encoding="utf-8", errors="replace"))
    match = re.search(r"\bparameterization[\"']?\s*:\s*[\"']?(\w+)", text)
    # the configurations of Stable Diffusion XL name a class for it
    match = match or re.search(r"\bdenoiser_scaling\.(\w+)", text)
    if match and match[1] in _NOISE_OF_EDM:
        raise ValueError(
            f"Expected `base` to be trained on a noise schedule of betas, but {path} is trained by "
            f"EDM, as {beside} says ({match[1]}), which sdtune does not train."
        )
    return _PREDICTIONS_IN_YAML.get(match[1]) if match else None


def _seen_prediction_type(path: Path, header: Mapping[str, Tensor]) -> PredictionType:
    """Guess by one small weight what the UNet of a Stable Diffusion 2 predicts."""
    from diffusers.loaders.single_file_utils import infer_diffusers_model_type

    if _TELLING not in header or infer_diffusers_model_type(header) != "v2":
        return "epsilon"
    if path.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(path, framework="pt") as file:
            weight = file.get_tensor(_TELLING)
    else:
        weight = _read_pickle(path, "cpu")[_TELLING]
    is_v = weight.float().std(correction=0).item() > _SPREAD_OF_V
    return "v_prediction" if is_v else "epsilon"


def _read_header(path: Path) -> dict[str, Tensor]:
    """Read names and shapes, as tensors on the meta device."""
    from safetensors import SafetensorError, safe_open

    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {
                    name: torch.empty(file.get_slice(name).get_shape(), device="meta")
                    for name in file.keys()  # noqa: SIM118 (not a mapping)
                }
        return _read_pickle(path, "meta")
    except UnpicklingError as error:
        raise ValueError(
            f"`base` {path} is refused: it is damaged, or a pickle that holds more than tensors, "
            "which could run code when read. Use a .safetensors file of the same model."
        ) from error
    except (SafetensorError, OSError) as error:
        raise ValueError(f"`base` {path} cannot be read: {error}") from error


def _read_pickle(path: Path, device: str) -> dict[str, Tensor]:
    try:
        content = torch.load(
            path, map_location=device, weights_only=True, mmap=zipfile.is_zipfile(path)
        )
    except (UnpicklingError, OSError):
        raise
    except Exception as error:  # torch meets a damaged file with almost any exception
        reason = f"it is damaged ({type(error).__name__})"
        raise ValueError(f"`base` {path} cannot be read: {reason}.") from error
    for _ in range(_NESTED):  # a pickle may hold itself
        if isinstance(content, dict) and "state_dict" in content:
            content = content["state_dict"]
    if not isinstance(content, dict):
        raise ValueError(
            f"`base` {path} cannot be read: it holds a {type(content).__name__} where named "
            "weights were expected."
        )
    return {
        name: each
        for name, each in content.items()
        if isinstance(name, str) and isinstance(each, Tensor)
    }


def _find_on_hub(path: Path, header: dict[str, Tensor]) -> Path:
    from diffusers.loaders.single_file_utils import fetch_diffusers_config
    from huggingface_hub import is_offline_mode, snapshot_download

    repository = fetch_diffusers_config(header)["pretrained_model_name_or_path"]
    try:
        cached = snapshot_download(
            repository,
            allow_patterns=["*.json", "*.txt"],
            local_files_only=is_offline_mode(),
        )
    except OSError as error:
        raise ValueError(
            f"`base` {path} holds weights alone, of sizes that no configuration of sdtune's own "
            f"fits, and the one that may go with them, {repository}, is neither in the local "
            f"Hugging Face cache nor within reach: put the .json and .txt files of the model's "
            f"repository into {path.with_suffix('')}, or load the file once with a network."
        ) from error
    return Path(cached)
