"""nano's vocabulary: CLIP's format, one token for each word of a caption."""

from __future__ import annotations

from pathlib import Path

from transformers import CLIPTokenizer

from sdtune.nano.making.scenes import SceneComposer
from sdtune.nano.making.sprites import SpriteBook
from sdtune.nano.making.tokenizer import MAX_LENGTH, caption_words


def test_every_word_of_a_caption_is_one_token(tokenizer: Path) -> None:
    loaded = CLIPTokenizer.from_pretrained(tokenizer)
    for word in caption_words():
        pieces = loaded.tokenize(word)
        if word.isalpha():
            assert pieces == [f"{word}</w>"]


def test_unknown_words_are_spelled_and_read_back(tokenizer: Path) -> None:
    loaded = CLIPTokenizer.from_pretrained(tokenizer)
    ids = loaded("A Zebra's <erica>").input_ids
    assert loaded.decode(ids, skip_special_tokens=True) == "a zebra 's < erica >"
    assert ids[0] == loaded.bos_token_id
    assert ids[-1] == loaded.eos_token_id == len(loaded) - 1


def test_no_caption_is_truncated(tokenizer: Path, sprites: Path) -> None:
    loaded = CLIPTokenizer.from_pretrained(tokenizer)
    composer = SceneComposer(SpriteBook(sprites), pair_share=1.0, complete_captions=True)
    longest = max(len(loaded(composer.scene(n).caption).input_ids) for n in range(300))
    assert longest <= MAX_LENGTH == loaded.model_max_length
