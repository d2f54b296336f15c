from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdtune.drawing.drawer import Drawer
from sdtune.drawing.picture_settings import read_settings
from sdtune.drawing.request import Request, run_sampling
from sdtune.drawing.settings import PictureSettings
from sdtune.drawing.sources import adapter_source
from tests.drawn_run import PROMPTS, SEEDS


@pytest.fixture(scope="module")
def drawer(run: Path, micro_sd: Path) -> Drawer:
    return Drawer(micro_sd, [adapter_source(run, "1"), adapter_source(run, "2")], device="cpu")


@pytest.fixture
def like_samples(drawer: Drawer, run: Path):
    """Return a function that makes the settings of the run's samples."""

    def make(checkpoint: str, **given: object) -> list[PictureSettings]:
        request = Request([adapter_source(run, checkpoint)], given=given)
        return request.settings(drawer, run_sampling(run))

    return make


def pixels(drawn) -> np.ndarray:
    return np.concatenate([np.asarray(each.picture) for each in drawn], axis=1)


@pytest.mark.parametrize("step", [1, 2])
def test_pictures_are_those_of_the_run_bit_for_bit(step, run, drawer, like_samples) -> None:
    drawn = list(drawer.draw(like_samples(str(step))))
    assert [(e.settings.prompt, e.settings.seed) for e in drawn] == [
        (prompt, seed) for prompt in PROMPTS for seed in SEEDS
    ]
    strip = np.asarray(Image.open(run / "samples" / "rows" / f"step_{step:06d}.png"))
    assert np.array_equal(pixels(drawn), strip)


def test_without_adapters_and_without_strength_it_is_the_base(run, drawer, like_samples) -> None:
    strip = np.asarray(Image.open(run / "samples" / "rows" / "base.png"))
    settings = like_samples("2")
    weak = [replace(s, adapters=[replace(s.adapters[0], strength=0.0)]) for s in settings]
    for each in ([replace(s, adapters=[]) for s in settings], weak):
        assert np.array_equal(pixels(drawer.draw(each)), strip)


def test_another_strength_loads_nothing(drawer, like_samples, monkeypatch) -> None:
    [first, *_] = like_samples("2")
    whole = pixels(drawer.draw([first]))

    def refuse(*arguments: object) -> None:
        raise AssertionError("loaded")

    monkeypatch.setattr("sdtune.drawing.drawer.PlacedAdapters", refuse)
    half = replace(first, adapters=[replace(first.adapters[0], strength=0.5)])
    assert not np.array_equal(pixels(drawer.draw([half])), whole)
    assert np.array_equal(pixels(drawer.draw([first])), whole)


def test_one_of_a_batch_is_drawn_again_alone(drawer, like_samples, tmp_path) -> None:
    drawn = list(drawer.draw(like_samples("2", sampler="euler_a")))
    for number, each in enumerate(drawn):
        each.save(tmp_path / f"{number}.png")
        settings = read_settings(tmp_path / f"{number}.png")
        assert settings == each.settings
        assert settings.batch is not None
        assert (settings.batch.size, settings.batch.index) == (4, number)
        [again] = drawer.draw([settings])
        again.save(tmp_path / "again.png")
        assert (tmp_path / "again.png").read_bytes() == (tmp_path / f"{number}.png").read_bytes()
        (tmp_path / "again.png").unlink()


def test_nothing_is_overwritten(drawer, like_samples, tmp_path) -> None:
    (tmp_path / "a.png").write_text("mine")
    [drawn] = drawer.draw(like_samples("2")[:1])
    with pytest.raises(FileExistsError):
        drawn.save(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_text() == "mine"


def test_steps_are_told_and_may_end_it(drawer, like_samples) -> None:
    told: list[int] = []
    list(drawer.draw(like_samples("2"), told.append))
    assert told == [4] * 3

    def stop(pictures: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(drawer.draw(like_samples("2"), stop))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"precision": "bfloat16"}, "Expected pictures in float32"),
        ({"seed": -1}, "Expected `seed` to be from 0"),
        ({"width": 10_000}, "Expected `width` to be from 8 to 4096"),
        ({"num_inference_steps": 10**9}, "Expected `num_inference_steps` to be from 1 to 1000"),
    ],
)
def test_settings_that_cannot_be_drawn_are_refused(wrong, message, drawer, like_samples) -> None:
    with pytest.raises(ValueError, match=message):
        list(drawer.draw([replace(like_samples("2")[0], **wrong)]))


def test_a_layer_that_is_not_there_is_refused_before_anything_is_drawn(
    drawer, like_samples
) -> None:
    with pytest.raises(ValueError, match="Expected `clip_skip` to be an integer from 1 to"):
        drawer.check(replace(like_samples("2")[0], clip_skip=99))


def test_another_base_and_an_unknown_adapter_are_refused(drawer, like_samples) -> None:
    [first, *_] = like_samples("2")
    base = replace(first.base, unet_sha256="0" * 64)
    with pytest.raises(ValueError, match="whose UNet has the hash 0000000000, but"):
        list(drawer.draw([replace(first, base=base)]))
    unknown = replace(first.adapters[0], sha256="1" * 64)
    with pytest.raises(ValueError, match="with the hash 1111111111, to be given"):
        list(drawer.draw([replace(first, adapters=[unknown])]))
