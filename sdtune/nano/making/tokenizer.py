"""nano's own byte-pair vocabulary, in the format of CLIP's tokenizer."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from sdtune.nano.making.objects import OBJECTS, with_article
from sdtune.nano.making.scenes import PALETTE, PATTERNS
from sdtune.nano.making.sources import TRAINING_SOURCES

__all__ = ["MAX_LENGTH", "build_tokenizer", "caption_words"]

MAX_LENGTH = 32  # tokens, start and end included: the longest caption of two objects needs 27

_START, _END = "<|startoftext|>", "<|endoftext|>"
_PHRASES = (
    "a photo of the picture and drawing painting in style an image with sitting at next to left "
    "right on background small large cute"
)


def caption_words() -> Counter[str]:
    """Count the words of nano's captions; each becomes one token."""
    phrases = [with_article(name) for name in OBJECTS]
    phrases += [source.style for source in TRAINING_SOURCES]
    phrases += [*PALETTE, *PATTERNS, _PHRASES]
    return Counter({word: 1000 for phrase in phrases for word in phrase.replace("-", " ").split()})


def build_tokenizer(
    folder: Path, other_words: Iterable[str] = (), vocab_size: int = 2048
) -> CLIPTokenizer:
    """Learn byte-pair merges and write them as CLIP's `vocab.json` and `merges.txt`.

    Args:
        folder: where the tokenizer is saved.
        other_words: words beyond those of captions, that share what is left of the vocabulary.
        vocab_size: tokens at most, the two special ones included.

    Returns:
        The tokenizer, as loaded back from the folder.
    """
    words = caption_words() + Counter(word.lower() for word in other_words if word.isascii())
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(" ", "removed"), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        end_of_word_suffix="</w>",
    )
    learner.train_from_iterator(words.elements(), trainer)
    return _save(learner, folder, vocab_size)


def _save(learner: Tokenizer, folder: Path, vocab_size: int) -> CLIPTokenizer:
    """Save merges with the tokens in CLIP's order: bytes, bytes at an end, merges, specials."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = alphabet + [f"{letter}</w>" for letter in alphabet]
    learned = json.loads(learner.to_str())["model"]["merges"]
    merges = [tuple(pair) for pair in learned[: vocab_size - len(tokens) - 2]]
    tokens += ["".join(pair) for pair in merges]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    for special in (_START, _END):
        vocabulary[special] = len(vocabulary)
    tokenizer = CLIPTokenizer(
        vocab=vocabulary,
        merges=merges,  # type: ignore[arg-type]  # of pairs, or of lines of text
        model_max_length=MAX_LENGTH,
    )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    loaded: CLIPTokenizer = CLIPTokenizer.from_pretrained(folder)
    return loaded
