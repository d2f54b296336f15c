from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from sdtune.drawing.picture_settings import read_settings
from sdtune.play.studio import StoppedError


def pixels(path):
    return np.asarray(Image.open(path))


def test_the_base_and_the_adapters_are_drawn_as_elsewhere_and_once(studio, asked, drawer) -> None:
    pair = studio.pair(asked)
    base, tuned = studio.draw([pair.base, pair.tuned])
    assert base.settings.adapters == []
    assert [each.strength for each in tuned.settings.adapters] == [1.0, 1.0]
    [expected] = drawer.draw([pair.tuned])
    assert np.array_equal(pixels(tuned.path), np.asarray(expected.picture))
    assert not np.array_equal(pixels(base.path), pixels(tuned.path))
    steps: list[tuple[int, int]] = []
    weaker = studio.pair(replace(asked, strengths=(0.5, 1.0)))
    again, _ = studio.draw([weaker.base, weaker.tuned], lambda *done: steps.append(done))
    assert again is base
    assert steps == [(1, 2), (2, 2)]
    assert len(studio.drawn) == 3
    kept = sorted(each.name for each in (base.path.parents[1] / "kept").iterdir())
    assert kept == ["0001_seed_3.png", "0002_seed_3.png", "0003_seed_3.png"]


def test_the_base_reads_the_noun_where_the_adapter_reads_its_word(studio, asked) -> None:
    for prompt in ("a {subject}", "a <erica>"):
        pair = studio.pair(replace(asked, prompt=prompt))
        assert (pair.tuned.prompt, pair.base.prompt) == ("a <erica>", "a cat")


def test_an_adapter_without_strength_is_left_out(studio, asked) -> None:
    pair = studio.pair(replace(asked, strengths=(0.0, 0.0)))
    assert pair.tuned == pair.base


def test_a_picture_is_drawn_again_to_the_last_bit(studio, asked, drawer, tmp_path) -> None:
    pair = studio.pair(asked)
    several = [replace(pair.tuned, seed=each) for each in range(3)]
    drawn = list(drawer.draw(several))[1]
    drawn.save(tmp_path / "like.png")
    like = read_settings(tmp_path / "like.png")
    assert (like.batch.size, like.batch.index) == (3, 1)
    same = studio.pair(replace(asked, seed=1), like)
    assert same.tuned.batch == like.batch
    [again] = studio.draw([same.tuned])
    assert np.array_equal(pixels(again.path), np.asarray(drawn.picture))
    assert studio.pair(replace(asked, seed=2), like).tuned.batch is None


def test_stopping_keeps_what_was_ready(studio, asked) -> None:
    pair = studio.pair(asked)

    def stop_late(made: int, total: int) -> None:
        assert total == 4
        if made == 3:
            studio.stop()

    with pytest.raises(StoppedError):
        studio.draw([pair.base, pair.tuned], stop_late)
    assert [each.settings.adapters for each in studio.drawn] == [[]]
    studio.draw([pair.base, pair.tuned])  # the next drawing is not stopped
    assert len(studio.drawn) == 2


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"prompt": " "}, "Expected a prompt, but it is empty"),
        ({"prompt": "a {thing}"}, "but got `{thing}`"),
        ({"width": 30}, "`width` to be a multiple of 8, but got 30"),
        ({"seed": -1}, "`seed` to be from 0"),
        ({"checkpoints": ("step_000009", "")}, "a checkpoint of style_lora/version_0, but got"),
        ({"strengths": (1.0, 0.5)}, "learned words are either in the prompt or not"),
    ],
)
def test_what_cannot_be_drawn_is_a_sentence(wrong, message, studio, asked) -> None:
    with pytest.raises(ValueError, match=message):
        studio.pair(replace(asked, **wrong))
