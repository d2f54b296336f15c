"""nano's figures: a judge that names what it sees, and colours read off the border."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import CLIPTokenizer

from sdtune.nano.making.clip import NanoCLIPModule
from sdtune.nano.making.figures import (
    Judge,
    background_colour,
    caption_top1,
    drawing_figures,
    held_out_scenes,
)
from sdtune.nano.making.scenes import PALETTE, Background
from sdtune.nano.making.sprites import SpriteBook


@pytest.fixture(scope="module")
def judge(tokenizer: Path) -> Judge:
    module = NanoCLIPModule(str(tokenizer), text_width=32, vision_width=32, layers=1, patch_size=16)
    return Judge(module.clip, CLIPTokenizer.from_pretrained(tokenizer))


@pytest.mark.parametrize("colour", PALETTE)
def test_a_plain_background_is_named(colour: str) -> None:
    pixels = Background("plain", (colour,)).draw(32)
    image = torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
    image[:, 8:24, 8:24] = 0.3  # what stands before it does not count
    assert background_colour(image) == colour


def test_held_out_scenes_are_complete_and_single(sprites: Path) -> None:
    scenes = held_out_scenes(SpriteBook(sprites), 20)
    assert all(len(scene.objects) == 1 and scene.named == (True, True) for scene in scenes)
    pairs = held_out_scenes(SpriteBook(sprites), 20, pairs=True)
    assert all(len(scene.objects) == 2 and scene.relation for scene in pairs)


def test_embeddings_are_unit_vectors_of_the_model(judge: Judge) -> None:
    images = torch.rand(3, 3, 64, 64)
    vectors = judge.embed_images(images)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))
    with torch.no_grad():
        tokens = judge.tokenizer(["an apple"], padding="max_length", return_tensors="pt")
        output = judge.clip(**tokens, pixel_values=2 * images - 1)
    torch.testing.assert_close(vectors, output.image_embeds)
    torch.testing.assert_close(judge.embed_texts(["an apple"]), output.text_embeds)


def test_the_right_name_is_the_first_candidate(judge: Judge) -> None:
    images = torch.rand(2, 3, 64, 64)
    texts = ["an apple", "a pizza"]
    best = (judge.embed_images(images) @ judge.embed_texts(texts).T).argmax(dim=1).tolist()
    right = [[texts[answer], texts[1 - answer]] for answer in best]
    assert judge.named_right(images, right).all()
    assert not judge.named_right(images, [candidates[::-1] for candidates in right]).any()


def test_real_pictures_drawn_again_score_as_real_pictures_do(judge: Judge, sprites: Path) -> None:
    book = SpriteBook(sprites)
    listed = held_out_scenes(book, 12) + held_out_scenes(book, 6, pairs=True)
    scenes = {scene.caption: scene for scene in listed}

    def copy(prompts: list[str], seeds: list[int]) -> torch.Tensor:
        pictures = [scenes[prompt].draw(book.sprites, 64) for prompt in prompts]
        return torch.stack(
            [torch.from_numpy(each).permute(2, 0, 1).float() / 255 for each in pictures]
        )

    assert len(scenes) == 18  # or a caption would not tell which scene it is
    figures = drawing_figures(copy, judge, book, 64, prompts=12, seeds=1)
    assert figures["object"] == figures["real_object"]
    assert figures["style"] == figures["real_style"]
    assert figures["pair"] == figures["real_pair"] <= 1
    assert figures["background"] == 1.0


def test_an_untrained_clip_finds_captions_by_chance(judge: Judge, sprites: Path) -> None:
    assert caption_top1(judge, SpriteBook(sprites), 64, count=100) < 0.1
