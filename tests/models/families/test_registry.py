from __future__ import annotations

import pytest

from sdtune.models.families import (
    StableDiffusionFamily,
    StableDiffusionXLFamily,
    families,
    family_of_pipeline,
    register_family,
)
from tests.models.families.toy_xl import ToyXLFamily


def test_a_family_is_found_by_its_pipeline(family: ToyXLFamily) -> None:
    assert family_of_pipeline("ToyXLPipeline") is family
    assert isinstance(family_of_pipeline("StableDiffusionXLPipeline"), StableDiffusionXLFamily)
    assert isinstance(family_of_pipeline("StableDiffusionPipeline"), StableDiffusionFamily)
    assert family_of_pipeline(None) is None
    assert families()[-1] is family


def test_there_is_one_family_for_a_pipeline() -> None:
    before = families()
    with pytest.raises(ValueError, match="StableDiffusionPipeline has a family already"):
        register_family(StableDiffusionFamily())
    assert families() == before
