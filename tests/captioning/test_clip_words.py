from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from sdtune.captioning.captioner import CaptionerSettings
from sdtune.captioning.clip_words import ClipWordsCaptioner, nano_phrases, read_phrases
from sdtune.captioning.registry import load_captioner

SHIPPED = Path(__file__).parents[2] / "datasets"


class ColourClip:
    """Places texts and pictures by red, green and blue; "on" makes a text that of a ground."""

    def embed_texts(self, texts: list[str]) -> torch.Tensor:
        colours = {"red": 0, "green": 1, "blue": 2}
        rows = [[0.0] * 3 for _ in texts]
        for row, text in zip(rows, texts, strict=True):
            assert text == text.strip()
            for word in text.split():
                if word in colours:
                    row[colours[word]] += 1
        return torch.nn.functional.normalize(torch.tensor(rows) + 1e-3, dim=1)

    def embed_images(self, images: list[torch.Tensor]) -> torch.Tensor:
        means = torch.stack([image.mean(dim=(1, 2)) for image in images])
        return torch.nn.functional.normalize(means, dim=1)


BLOCKS = [["a red thing", "a green thing", "a blue thing"], ["on red", "on green", "on blue"]]


def test_phrases_are_chosen_behind_those_before() -> None:
    captioner = ClipWordsCaptioner(ColourClip(), BLOCKS)
    red, yellow = (Image.new("RGB", (8, 8), colour) for colour in ("red", (255, 200, 0)))
    # of the two halves of yellow, what is not said yet fits best
    assert captioner.describe([red, yellow]) == ["a red thing on red", "a red thing on green"]


def test_a_subject_takes_the_first_phrase_s_place() -> None:
    captioner = ClipWordsCaptioner(ColourClip(), BLOCKS, subject=" a qqq robot ")
    picture = Image.new("RGB", (8, 8), (255, 200, 0))
    assert captioner.describe([picture]) == ["a qqq robot on green"]


def test_words_are_read_in_blocks(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("\n\ufeffa  cat\na dog\n\n\non grass\n")
    assert read_phrases(path) == [["\ufeffa cat", "a dog"], ["on grass"]]
    path.write_text(" \n")
    with pytest.raises(ValueError, match="to hold phrases, one a line, but it is empty"):
        read_phrases(path)
    with pytest.raises(ValueError, match="Expected `words` to name a UTF-8 text"):
        read_phrases(tmp_path / "gone.txt")


def test_another_clip_needs_words() -> None:
    with pytest.raises(ValueError, match="Expected `words` to name a file of phrases"):
        load_captioner("clip", CaptionerSettings("openai/clip-vit-base-patch16"))


def test_nano_knows_its_things_and_grounds() -> None:
    things, grounds = nano_phrases()
    assert {"a cat", "an apple", "grapes"} <= set(things)
    assert len(grounds) == len(set(grounds)) == 11 + 3 * 11 * 10
    assert {"on an orange background", "on a dotted pink and white background"} <= set(grounds)


def test_a_look_takes_the_last_phrase_s_place_where_it_finds_one() -> None:
    seen = iter(["on the moon", None])
    captioner = ClipWordsCaptioner(ColourClip(), BLOCKS, look=lambda image: next(seen))
    yellow = Image.new("RGB", (8, 8), (255, 200, 0))
    assert captioner.describe([yellow, yellow]) == [
        "a red thing on the moon",
        "a red thing on green",
    ]


@pytest.mark.slow
def test_nano_captions_put_the_subject_before_the_ground() -> None:
    captioner = load_captioner("clip", CaptionerSettings(subject="a robot"))
    path = SHIPPED / "subject_rabbit" / "rabbit_face_01.png"
    assert captioner.describe([Image.open(path).convert("RGB")]) == ["a robot on a pink background"]
