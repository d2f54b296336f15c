from pathlib import Path

import pytest

from sdtune.models import StableDiffusion, load
from sdtune.models.families import StableDiffusionFamily, families
from sdtune.models.part_checks import check_parts


@pytest.fixture(scope="module")
def parts(micro_sd: Path) -> StableDiffusion:
    return load(micro_sd)


def test_parts_that_belong_together_pass(parts: StableDiffusion) -> None:
    every = (parts.unet, parts.vae, list(parts.text_encoders), parts.tokenizers)
    check_parts(StableDiffusionFamily(), *every, "here")


def test_parts_that_do_not_are_told_apart(parts: StableDiffusion) -> None:
    unet, vae, encoders = parts.unet, parts.vae, list(parts.text_encoders)
    xl = families()[1]
    with pytest.raises(ValueError, match="one tokenizer per text encoder, but got 2 tokenizers"):
        check_parts(parts.family, unet, vae, encoders, parts.tokenizers * 2, "here")
    with pytest.raises(ValueError, match=r"text_encoder_2 of a .*, but got 1 text encoders"):
        check_parts(xl, unet, vae, encoders, parts.tokenizers, "here")
