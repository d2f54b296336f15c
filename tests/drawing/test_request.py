from __future__ import annotations

from types import SimpleNamespace

import pytest

from sdtune.drawing.request import Request
from sdtune.drawing.settings import Batch, PictureSettings, UsedBase

BASE = UsedBase("nano", "ab")
DRAWER = SimpleNamespace(base=BASE, precision="float32")


@pytest.mark.parametrize(
    ("recorded", "given", "problem"),
    [
        (
            {"width": 4096, "height": 4096},
            {"width": 4096, "height": 4096},
            "at most 4,194,304 pixels, but it asks for 4096x4096 pixels: `--width 4096 --height "
            "4096` draws it, if that is meant.",
        ),
        ({"num_inference_steps": 999}, {"num_inference_steps": 999}, "999 steps: `--steps 999` dr"),
        (
            {"width": 1024, "height": 1024, "batch": Batch(64, 3), "seed": 7},
            None,
            "for 64 of 1024x1024 at once: `--seeds 7` draws it alone",
        ),
    ],
)
def test_a_stranger_may_not_ask_for_hours_or_all_memory(recorded, given, problem) -> None:
    settings = PictureSettings("a cat", BASE, **recorded)
    with pytest.raises(ValueError, match="Expected the picture of `--like`") as caught:
        Request().settings_like(settings, DRAWER)
    assert problem in str(caught.value)
    meant = Request(given=given) if given else Request(seeds=[7])
    [drawn] = meant.settings_like(settings, DRAWER)
    assert (drawn.width, drawn.height) == (settings.width, settings.height)


def test_what_people_draw_is_drawn_again() -> None:
    usual = {"width": 2048, "height": 2048, "num_inference_steps": 150, "batch": Batch(4, 1)}
    settings = PictureSettings("a cat", BASE, **usual)
    assert Request().settings_like(settings, DRAWER) == [settings]
