"""A word is checked by the tokenizer alone, and against the captions."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdtune.adapters.words.placeholder import Placeholder
from sdtune.data.style import StyleDataModule
from sdtune.data.subject import SubjectDataModule
from sdtune.techniques.learned_words import LearnedWords
from sdtune.techniques.textual_inversion import TextualInversionModule
from tests.picture_folders import make_picture_folder


def test_a_good_word_is_accepted_by_nano_and_by_a_folder(micro_sd: Path) -> None:
    LearnedWords([Placeholder("<erica>", 2, "grinning cat")], "free").check("nano")
    LearnedWords([Placeholder("<erica>", 1, "c")], "free").check(str(micro_sd))


def test_no_weights_are_read(micro_sd: Path, tmp_path: Path) -> None:
    (tmp_path / "tokenizer").symlink_to(micro_sd / "tokenizer")
    (tmp_path / "scheduler").symlink_to(micro_sd / "scheduler")
    (tmp_path / "model_index.json").symlink_to(micro_sd / "model_index.json")
    for part in ("unet", "vae", "text_encoder"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "config.json").symlink_to(micro_sd / part / "config.json")
        (tmp_path / part / "model.safetensors").touch()
    with pytest.raises(ValueError, match="`cat` is 3"):
        LearnedWords([Placeholder("<erica>", 1, "cat")], "free").check(str(tmp_path))


def test_a_base_that_cannot_be_loaded_is_not_the_words_fault() -> None:
    LearnedWords([Placeholder("<erica>", 1, "cat")], "free").check("no such base")


def test_captions_without_the_word_are_a_problem(micro_sd: Path, tmp_path: Path) -> None:
    module = TextualInversionModule("<disc>", "c", base=str(micro_sd))
    folder = make_picture_folder(tmp_path / "discs")
    [problem] = module.problems_with(StyleDataModule(folder, resolution=64))
    assert "captions that hold `<disc>`, but none of 4 does, such as 'a red disc'" in problem
    for prompt in ("a <disc>", "A <DISC>"):  # CLIP reads all text in lower case
        assert module.problems_with(SubjectDataModule(folder, prompt, resolution=64)) == []
    assert module.problems_with(None) == []


def test_what_is_wrong_with_the_data_alone_is_not_told_twice(micro_sd: Path) -> None:
    module = TextualInversionModule("<disc>", "c", base=str(micro_sd))
    assert module.problems_with(StyleDataModule("nowhere", resolution=64)) == []
