"""For which kind of base a LoRA is, as other programs call it, and as the names in a file tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from sdtune.models.stable_diffusion import StableDiffusion

__all__ = ["BaseKind", "base_kind", "guess_family"]

_ARCHITECTURES = {
    "sd_v1": "stable-diffusion-v1",
    "sd_v2": "stable-diffusion-v2-512",
    "sd_v2_v": "stable-diffusion-v2-768-v",
    "sdxl_base_v1-0": "stable-diffusion-xl-v1-base",
}

# parts of names that are in no Stable Diffusion 1, 2 or XL
_ELSEWHERE = {
    "single_transformer_blocks": "Flux",
    "double_blocks": "Flux",
    "single_blocks": "Flux",
    "joint_blocks": "Stable Diffusion 3",
    "lora_te3": "Stable Diffusion 3 or Flux",
    "text_encoder_3": "Stable Diffusion 3",
    "transformer.transformer_blocks": "Stable Diffusion 3 or Flux",
    "lora_transformer_transformer_blocks": "Stable Diffusion 3 or Flux",
    "lora_prior_": "Stable Cascade",
}
_BY_CONTEXT = {768: "Stable Diffusion 1", 1024: "Stable Diffusion 2", 2048: "Stable Diffusion XL"}


@dataclass(frozen=True)
class BaseKind:
    """What kohya's trainer and ModelSpec say of a base.

    Attributes:
        version: `sd_v1`, `sd_v2`, `sd_v2_v` or `sdxl_base_v1-0`.
        prediction_type: `epsilon` or `v_prediction`.
        resolution: Pixels of a side.
    """

    version: str = "sd_v1"
    prediction_type: str = "epsilon"
    resolution: int = 512

    @property
    def is_xl(self) -> bool:
        """Whether it is Stable Diffusion XL, whose modules are named as its first code did."""
        return self.version.startswith("sdxl")

    @property
    def architecture(self) -> str:
        """ModelSpec's name."""
        return _ARCHITECTURES[self.version]


def base_kind(model: StableDiffusion) -> BaseKind:
    """Tell of which kind a base is.

    Args:
        model: A bundle.

    Returns:
        Its kind.
    """
    config = cast("Mapping[str, Any]", model.unet.config)
    prediction_type = str(model.prediction_type)
    if len(model.text_encoders) > 1:
        version = "sdxl_base_v1-0"
    elif config.get("use_linear_projection"):  # so are 2's transformers and no 1's
        version = "sd_v2_v" if prediction_type == "v_prediction" else "sd_v2"
    else:
        version = "sd_v1"
    return BaseKind(version, prediction_type, model.resolution)


def guess_family(shapes: Mapping[str, Iterable[int]]) -> str:
    """Guess for which family a file is, from names and shapes alone.

    Args:
        shapes: Name of a tensor -> its shape.

    Returns:
        Such as `Stable Diffusion 2`; `an unknown family` if nothing tells.
    """
    for part, family in _ELSEWHERE.items():
        if any(part in name for name in shapes):
            return family
    if any(name.startswith(("lora_te2_", "text_encoder_2.", "clip_g")) for name in shapes):
        return "Stable Diffusion XL"
    for name, shape in shapes.items():
        size = tuple(shape)
        is_down = "down" in name.rpartition("to_k")[2] or "lora_A" in name
        is_whole = name.endswith(("to_k.weight", "to_k_custom_diffusion.weight"))
        if "attn2" in name and "to_k" in name and (is_down or is_whole) and len(size) > 1:
            return _BY_CONTEXT.get(size[1], "an unknown family")
    return "an unknown family"
