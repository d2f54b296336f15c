from __future__ import annotations

from collections.abc import Sequence

import pytest
from PIL import Image

from sdtune.captioning.captioner import CaptionerSettings
from sdtune.captioning.registry import CAPTIONERS, load_captioner, register


class Toy:
    def __init__(self, settings: CaptionerSettings) -> None:
        self.subject = settings.subject

    def describe(self, images: Sequence[Image.Image]) -> list[str]:
        return [self.subject for _ in images]


def test_one_more_captioner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdtune.captioning.registry.CAPTIONERS", dict(CAPTIONERS))
    register("toy", Toy)
    found = load_captioner("toy", CaptionerSettings(subject="a toy"))
    assert found.describe([Image.new("RGB", (1, 1))]) == ["a toy"]
    with pytest.raises(ValueError, match="of a new name, but `toy` is registered"):
        register("toy", Toy)


def test_wrong_settings_are_listed_before_a_model_is_looked_for() -> None:
    with pytest.raises(ValueError, match=r"`captioner` to be one of `blip`, `clip`, `wd`, but got"):
        load_captioner("nothing", CaptionerSettings())
    with pytest.raises(ValueError, match="threshold") as caught:
        load_captioner("wd", CaptionerSettings(threshold=2.0, character_threshold=-1.0))
    assert len(str(caught.value).splitlines()) == 2
