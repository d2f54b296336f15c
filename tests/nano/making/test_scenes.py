"""Scenes are functions of (seed, number), and their captions name what is in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sdtune.nano.making.scenes import PALETTE, Background, Scene, SceneComposer, with_made_up_word
from sdtune.nano.making.sprites import SpriteBook


@pytest.fixture
def book(sprites: Path) -> SpriteBook:
    return SpriteBook(sprites)


def test_a_scene_is_a_function_of_seed_and_number(book: SpriteBook) -> None:
    first, again, other = (SceneComposer(book, seed=seed) for seed in (3, 3, 4))
    backwards = [again.scene(number) for number in reversed(range(20))]
    assert [first.scene(number) for number in range(20)] == backwards[::-1]
    assert [other.scene(number) for number in range(20)] != backwards[::-1]


def test_captions_name_object_background_and_style() -> None:
    plain = Background("plain", ("orange",))
    dotted = Background("dotted", ("pink", "white"))
    box = (0.0, 0.0, 0.5)
    one = Scene(("turtle",), "noto", dotted, (box,))
    two = Scene(("apple", "cherries"), "blob", plain, (box, box), "left of", (True, False))
    bare = Scene(("umbrella",), "blob", plain, (box,), named=(False, False))
    assert one.caption == "a turtle on a dotted pink and white background, noto style"
    assert two.caption == "an apple left of cherries on an orange background"
    assert bare.caption == "an umbrella"


@pytest.mark.parametrize("pattern", ["striped", "checkered", "dotted"])
def test_patterns_hold_both_colours_and_little_else(pattern: str) -> None:
    pixels = Background(pattern, ("blue", "yellow")).draw(64).reshape(-1, 3).astype(int)
    shares = [
        float((np.abs(pixels - PALETTE[colour]).max(axis=1) < 8).mean())
        for colour in ("blue", "yellow")
    ]
    assert min(shares) > 0.2
    assert sum(shares) > 0.75  # the rest are the edges


def test_plain_backgrounds_are_one_colour() -> None:
    pixels = Background("plain", ("green",)).draw(16)
    assert (pixels == PALETTE["green"]).all()


def test_sprites_cover_the_background_where_they_are_opaque(book: SpriteBook) -> None:
    scene = Scene(("apple",), "blob", Background("plain", ("white",)), ((0.0, 0.0, 1.0),))
    picture = scene.draw(book.sprites, 96)
    assert picture.shape == (96, 96, 3)
    assert (picture[48, 48] == (255, 0, 0)).all()
    assert (picture[2, 2] == PALETTE["white"]).all()


def test_relations_hold(book: SpriteBook) -> None:
    composer = SceneComposer(book, pair_share=1.0)
    scenes = [composer.scene(number) for number in range(200)]
    pairs = [scene for scene in scenes if len(scene.objects) == 2]
    assert {scene.relation for scene in pairs} == {"next to", "left of", "right of"}
    for scene in pairs:
        first, second = scene.boxes
        assert (first[0] > second[0]) == (scene.relation == "right of")


def test_objects_stay_inside_the_picture(book: SpriteBook) -> None:
    composer = SceneComposer(book, pair_share=0.5)
    for number in range(200):
        for left, top, width in composer.scene(number).boxes:
            assert 0 <= left <= left + width <= 1 + 1e-9
            assert 0 <= top <= top + width <= 1 + 1e-9


def test_a_style_is_only_asked_for_objects_that_it_draws(book: SpriteBook) -> None:
    composer = SceneComposer(book, pair_share=0.3, well_known_share=0.0)
    scenes = [composer.scene(number) for number in range(300)]
    drawn = {(scene.style, name) for scene in scenes for name in scene.objects}
    assert drawn == set(book.sprites)


def test_a_family_differs_in_one_thing(book: SpriteBook) -> None:
    composer = SceneComposer(book, pair_share=0.0, family_size=4)
    kinds = set()
    for family in range(60):
        scenes = [composer.scene(number) for number in range(4 * family, 4 * family + 4)]
        looks = {(scene.style, scene.background) for scene in scenes}
        objects = {scene.objects for scene in scenes}
        if len(looks) == 1 and len(objects) > 1:
            kinds.add("objects")
        elif len(objects) == 1 and len(looks) == 4:
            kinds.add("styles")
            assert len({scene.caption for scene in scenes}) == 4
        else:
            kinds.add("none")
    assert kinds == {"objects", "styles", "none"}


def test_families_are_functions_of_seed_and_number(book: SpriteBook) -> None:
    first, again = (SceneComposer(book, seed=3, family_size=4) for _ in range(2))
    backwards = [again.scene(number) for number in reversed(range(40))]
    assert [first.scene(number) for number in range(40)] == backwards[::-1]


@pytest.mark.parametrize("caption", ["scissors", "a cat", "an apple on a red background"])
def test_a_made_up_word_comes_before_a_word_and_often_before_the_noun(caption: str) -> None:
    rng = np.random.default_rng(0)
    before = caption.split(" ")
    places = []
    for _ in range(400):
        after = with_made_up_word(caption, rng).split(" ")
        place = next(k for k in range(len(before)) if after[:k] + after[k + 1 :] == before)
        assert after[place].isalpha()
        places.append(place)
    noun = 1 if before[0] in ("a", "an") else 0
    assert set(places) == set(range(len(before)))
    assert places.count(noun) >= 200
