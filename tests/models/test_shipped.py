from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, DDPMScheduler

from sdtune.models.empty_parts import make_empty_part
from sdtune.models.original_layout import original_unet_weights
from sdtune.models.shipped import is_shipped, shipped_configuration, shipped_tokenizer

ROOT = Path(str(files("sdtune"))) / "models" / "configurations"


def _size(part: torch.nn.Module) -> int:
    return sum(each.numel() for each in part.parameters())


@pytest.mark.parametrize(
    ("folder", "sizes", "prediction_type"),
    [
        ("stable_diffusion_1", {"unet": 859_520_964, "text_encoder": 123_060_480}, "epsilon"),
        ("stable_diffusion_2_base", {"unet": 865_910_724, "text_encoder": 340_387_840}, "epsilon"),
        ("stable_diffusion_2", {"unet": 865_910_724, "text_encoder": 340_387_840}, "v_prediction"),
        (
            "stable_diffusion_xl",
            {
                "unet": 2_567_463_684,
                "text_encoder": 123_060_480,
                "text_encoder_2": 694_659_840,
            },
            "epsilon",
        ),
    ],
)
def test_the_configurations_are_those_of_the_published_models(
    folder: str, sizes: dict[str, int], prediction_type: str
) -> None:
    parts = {name: make_empty_part(name, ROOT / folder / name / "config.json") for name in sizes}
    assert {name: _size(part) for name, part in parts.items()} == sizes
    header = original_unet_weights(parts["unet"])  # as the file of such a model has it
    assert shipped_configuration(header, prediction_type) == ROOT / folder
    with torch.device("meta"):
        vae = AutoencoderKL.from_config(AutoencoderKL.load_config(ROOT / folder / "vae"))
    assert _size(vae) == 83_653_863
    assert vae.config.scaling_factor == (0.13025 if "xl" in folder else 0.18215)
    schedule = DDPMScheduler.from_pretrained(ROOT / folder, subfolder="scheduler").config
    assert (schedule.prediction_type, schedule.beta_end) == (prediction_type, 0.012)
    assert is_shipped(ROOT / folder)


def test_the_vocabulary_is_clips() -> None:
    tokenizer = shipped_tokenizer(ROOT / "stable_diffusion_1", "tokenizer")
    assert len(tokenizer) == 49_408
    ids = tokenizer("a photo of an astronaut riding a horse on mars").input_ids
    # https://huggingface.co/openai/clip-vit-large-patch14 gives these
    assert ids == [49406, 320, 1125, 539, 550, 18376, 6765, 320, 4558, 525, 7496, 49407]
    assert tokenizer.pad_token_id == 49_407
    assert shipped_tokenizer(ROOT / "stable_diffusion_2", "tokenizer").pad_token_id == 0


def test_a_folder_of_somebody_else_is_not_shipped(tiny_sd: Path) -> None:
    assert not is_shipped(tiny_sd)
