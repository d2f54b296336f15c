"""What a field of a prompt reads in each role, and what is said of one that is not known."""

from __future__ import annotations

import pytest

from sdtune._prompt_fields import PromptFields, Reading, Subject

ROBOT = Subject("robot", "qqq")


@pytest.mark.parametrize(
    ("subject", "tuned"),
    [
        (ROBOT, "qqq robot"),
        (Subject("robot"), "robot"),
        (Subject("robot", "qqq", "<robot>"), "<robot>"),
        (Subject("cat face", placeholder="<erica>", name="<erica> face"), "<erica> face"),
    ],
)
def test_the_tuned_model_reads_the_subject_s_words_and_the_base_its_noun(subject, tuned):
    fields = PromptFields.of_subjects([subject])
    prompt = "a {subject} beside a {class} on a pink background"
    noun = subject.noun
    assert fields.tuned(prompt, "p") == f"a {tuned} beside a {noun} on a pink background"
    assert fields.plain(prompt, "p") == f"a {noun} beside a {noun} on a pink background"
    assert fields.words == ({} if tuned == noun else {tuned: noun})


@pytest.mark.parametrize(
    ("subject", "word"),
    [
        (ROBOT, "<robot>"),
        (Subject("Blue Robot's head"), "<blue-robot-s-head>"),
        (Subject("cat face", name="<erica> face"), "<erica>"),
    ],
)
def test_a_word_is_made_of_the_noun_or_found_in_the_name(subject, word):
    assert subject.word == word


@pytest.mark.parametrize(
    ("noun", "name", "fits", "replaced"),
    [
        ("cat face", "<erica> face", True, "cat"),
        ("cat toy", "<erica> cat toy", True, "cat toy"),
        ("robot", "<erica> face", False, "robot"),
        ("robot", "<erica>", True, "robot"),
        ("robot", "old tin", True, "robot"),
    ],
)
def test_a_name_fits_a_noun_whose_words_it_has_beside_its_own(noun, name, fits, replaced):
    subject = Subject(noun, name=name)
    assert (subject.fits, subject.replaced) == (fits, replaced)


def test_several_subjects_have_numbers():
    fields = PromptFields.of_subjects([ROBOT, Subject("dog", placeholder="<dog>")])
    assert fields.tuned("{subject_1} left of {subject_2}", "p") == "qqq robot left of <dog>"
    assert fields.plain("{subject_1} left of {class_2}", "p") == "robot left of dog"
    assert PromptFields.of_subjects([ROBOT]).tuned("{subject_1}", "p") == "qqq robot"
    with pytest.raises(ValueError, match=r"`prompts` to use the fields .*, but got `\{subject\}`"):
        fields.tuned("{subject}", "prompts")


def test_the_longer_words_are_replaced_first():
    fields = PromptFields.of_subjects([Subject("cat", "q"), Subject("cat face", "q")])
    assert list(fields.words) == ["q cat face", "q cat"]


def test_an_unknown_field_is_an_error_that_names_the_key():
    fields = PromptFields.of_subjects([ROBOT])
    with pytest.raises(ValueError, match=r"`data.instance_prompt` to use the fields `\{subject_1"):
        fields.tuned("a {thing}", "data.instance_prompt")
    assert fields.problems(["a {thing} and a {thing}", "a {subject}"], "p") == [
        "Expected `p` to use the fields `{subject_1}`, `{class_1}`, `{subject}`, `{class}`, but "
        "got `{thing}`."
    ]
    assert "no fields, for the data has none" in PromptFields().problems(["{x}"], "p")[0]


def test_a_field_whose_words_are_missing_says_what_to_give():
    fields = PromptFields.of_subjects([None], "`data.class_noun`")
    assert fields.problems(["a {subject}"], "SampleGrid.prompts") == [
        "Expected `data.class_noun` to say what `{subject}` in `SampleGrid.prompts` stands for, "
        "but it is missing."
    ]


@pytest.mark.parametrize("text", ["a {} on grass", "a { b } and {1}", "no fields", " spaces "])
def test_what_is_no_field_stays(text):
    assert PromptFields().tuned(text, "p") == text


def test_an_empty_reading_takes_its_comma_along():
    fields = PromptFields({"trigger": Reading("", "")})
    assert fields.tuned("a lion on grass, {trigger}", "p") == "a lion on grass"
    assert fields.tuned("{trigger} a lion", "p") == "a lion"
    inky = PromptFields({"trigger": Reading("ink style", "ink style")})
    assert inky.tuned("a lion on grass, {trigger}", "p") == "a lion on grass, ink style"


def test_fields_pass_through_a_header():
    fields = PromptFields.of_subjects([ROBOT])
    assert PromptFields.from_json(fields.to_json()) == fields


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": "b"}', '{"a": ["b"]}', "[" * 100_000])
def test_a_header_of_something_else_has_no_fields(text):
    assert PromptFields.from_json(text).readings == {}
