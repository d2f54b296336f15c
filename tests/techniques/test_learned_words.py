"""A word is checked by the tokenizer alone, and against the captions."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sdtune._prompt_fields import Subject
from sdtune.adapters.words.placeholder import Placeholder
from sdtune.data.concept import Concept
from sdtune.data.concepts import ConceptsDataModule
from sdtune.data.style import StyleDataModule
from sdtune.data.subject import SubjectDataModule
from sdtune.techniques.learned_words import LearnedWords, word_of
from sdtune.techniques.multi_concept import MultiConceptModule
from sdtune.techniques.textual_inversion import TextualInversionModule
from tests.equal_states import assert_equal_states
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


def test_a_word_is_named_by_the_noun_and_starts_from_it() -> None:
    words = LearnedWords([word_of(None, 1, None)], "free")
    words.check("nano")
    words.name_subjects([Subject("robot")], "nano")
    assert words.words == [Placeholder("<robot>", 1, "robot")]
    words.name_subjects([Subject("blue robot")], "nano")  # another data module, before training
    assert words.words == [Placeholder("<blue-robot>", 1, "robot")]  # the head: one token
    two = LearnedWords([word_of("<rex>", 2, None)], "free")
    two.name_subjects([Subject("blue robot", name="<ann> robot")], "nano")
    assert two.words == [Placeholder("<rex>", 2, "blue")]  # what the name puts the word for
    given = LearnedWords([word_of("<rex>", 1, "dog")], "free")
    given.name_subjects([Subject("robot")], "nano")
    assert given.words == [Placeholder("<rex>", 1, "dog")]


def test_an_open_word_without_a_noun_is_a_problem(tmp_path: Path) -> None:
    module = TextualInversionModule(num_vectors=2)
    folder = make_picture_folder(tmp_path / "discs")
    data = SubjectDataModule(folder, instance_prompt="<disc>", cache_dir=str(tmp_path))
    module.name_subjects(data)
    [problem] = module.problems_with(data)
    assert problem.startswith("Expected `data.class_noun` to say what the subject is, or `model.")
    with pytest.raises(ValueError, match=r"Expected `data.class_noun` to say"):
        module.load_base()


def test_a_noun_that_is_too_many_tokens_is_a_problem_with_what_to_do(
    micro_sd: Path, tmp_path: Path
) -> None:
    folder = make_picture_folder(tmp_path / "discs")
    data = SubjectDataModule(folder, class_noun="disc", cache_dir=str(tmp_path))
    module = TextualInversionModule(base=str(micro_sd))
    module.name_subjects(data)
    [problem] = module.problems_with(data)
    assert "`initializer_token` to be 1 token for `num_vectors` 1, but `disc` is 4" in problem
    assert problem.endswith("It was made of `data.class_noun` 'disc'.")


def test_a_noun_of_signs_alone_is_told_by_the_key_that_was_typed(tmp_path: Path) -> None:
    folders = [make_picture_folder(tmp_path / name) for name in ("a", "b")]
    data = SubjectDataModule(folders[0], class_noun="🤖", cache_dir=str(tmp_path))
    module = TextualInversionModule(num_vectors=8)
    module.name_subjects(data)
    assert module.problems_with(data) == [
        "Expected `data.class_noun` to hold letters or digits, of which a word to learn is made, "
        "but got '🤖': give `model.placeholder_token`, such as `<robot>`."
    ]
    given = TextualInversionModule("<robot>", num_vectors=8)
    given.name_subjects(data)
    assert given.problems_with(data) == []
    concepts = [Concept(folders[0], class_noun="disc"), Concept(folders[1], class_noun="🤖")]
    several = ConceptsDataModule(concepts, cache_dir=str(tmp_path))
    both = MultiConceptModule(num_vectors=8)
    both.name_subjects(several)
    assert [each.split("`")[1] for each in both.problems_with(several)] == [
        "data.concepts[1].class_noun"
    ]


def test_module_and_data_agree_on_words_and_the_checkpoint_has_them(tmp_path: Path) -> None:
    folder = make_picture_folder(tmp_path / "discs")
    data = SubjectDataModule(folder, class_noun="disc", cache_dir=str(tmp_path))
    module = TextualInversionModule(num_vectors=3)
    module.name_subjects(data)
    assert module.problems_with(data) == []
    assert data.captions() == [f"a {each} <disc>" for each in ("red", "green", "blue", "orange")]
    assert (module.hparams.placeholder_token, module.hparams.initializer_token) == (
        "<disc>",
        "disc",
    )
    assert data.prompt_fields.tuned("{subject}", "p") == "<disc>"


def test_several_words_are_named_by_their_concepts(tmp_path: Path) -> None:
    folders = [str(make_picture_folder(tmp_path / name)) for name in ("a", "b")]
    concepts = [
        Concept(folders[0], class_noun="disc"),
        Concept(folders[1], class_noun="red disc", subject_name="<r> disc"),
    ]
    data = ConceptsDataModule(concepts, cache_dir=str(tmp_path))
    module = MultiConceptModule(num_vectors=2)
    module.name_subjects(data)
    assert module.hparams.placeholder_tokens == ["<disc>", "<r>"]
    assert module.hparams.initializer_tokens == ["disc", "red"]
    assert module.problems_with(data) == []
    assert data.problems() == []


def test_a_state_names_the_words_to_a_process_that_has_seen_no_data(
    micro_sd: Path, tmp_path: Path
) -> None:
    """As Lightning hands it from forked processes to the one that forked them."""
    data = SubjectDataModule(tmp_path, class_noun="c", cache_dir=str(tmp_path))
    trained = TextualInversionModule(base=str(micro_sd))
    trained.name_subjects(data)
    trained.load_base()
    torch.save(trained.state_dict(), tmp_path / "state")
    state = torch.load(tmp_path / "state", weights_only=True)
    waiting = TextualInversionModule(base=str(micro_sd))
    waiting.load_state_dict(state, strict=False)
    assert waiting.hparams.placeholder_token == "<c>"
    assert waiting.learns[0].words == trained.learns[0].words
    assert_equal_states(trained, waiting)
    named = TextualInversionModule("<mine>", "c", str(micro_sd))
    named.load_state_dict(state)
    assert named.hparams.placeholder_token == "<mine>"
