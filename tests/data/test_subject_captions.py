import pytest

from sdtune._prompt_fields import Subject
from sdtune.data.subject_captions import SubjectCaptions, made_caption, with_article

ROBOT = Subject("robot", "qqq")
WORD = Subject("cat", placeholder="<cat>")
BOTTLE = Subject("bottle of wine", "qqq")
NAMED = Subject("cat face", placeholder="<erica>", name="<erica> face")


@pytest.mark.parametrize(
    ("subject", "caption", "named"),
    [
        (ROBOT, "a robot on grass", "a qqq robot on grass"),
        (ROBOT, "A Robot, robots and a robot", "A qqq robot, robots and a robot"),
        (ROBOT, "a qqq robot on grass", "a qqq robot on grass"),
        (ROBOT, "on grass", "a qqq robot, on grass"),
        (ROBOT, "qqq on grass", "qqq on grass"),
        (Subject("cat face", "qqq"), "a cat face on grass", "a qqq cat face on grass"),
        (Subject("cat face", "qqq"), "a crying cat on grass", "a crying qqq cat on grass"),
        (WORD, "a cat face on grass", "a <cat> face on grass"),
        (WORD, "cattle", "a <cat>, cattle"),
        (NAMED, "a cat face on grass", "a <erica> face on grass"),
        (NAMED, "a crying cat on grass", "a crying <erica> on grass"),
        (NAMED, "a sad face", "a sad <erica> face"),
        (BOTTLE, "a picture of a red drink", "a qqq bottle of wine, a picture of a red drink"),
        (BOTTLE, "a bottle on a table", "a qqq bottle on a table"),
        (Subject("my dog", "qqq"), "a mug in my garden", "a qqq my dog, a mug in my garden"),
    ],
)
def test_the_noun_is_replaced_by_the_subject_s_words(subject, caption, named):
    captions = SubjectCaptions(subject)
    assert captions.named(caption) == named
    assert captions.named(named) == named
    assert captions.finds_words(caption) == ("," not in named or "," in caption)


def test_replacements_take_the_noun_s_place():
    captions = SubjectCaptions(ROBOT, {"droid": "qqq robot", "old droid": "qqq"})
    assert captions.named("an old droid and a droid") == "an qqq and a qqq robot"
    assert not captions.finds_words("a robot")


def test_without_a_subject_captions_stay():
    assert SubjectCaptions().named("a {robot}") == "a {robot}"
    assert SubjectCaptions().finds_words("anything")


@pytest.mark.parametrize(
    ("subject", "beside", "caption"),
    [
        (ROBOT, "on a green background", "a {subject} on a green background"),
        (ROBOT, ", green, grass", "a {subject}, green, grass"),
        (ROBOT, "", "a {subject}"),
        (Subject("robot", "erica"), "on grass", "an {subject} on grass"),
    ],
)
def test_a_made_caption_has_the_field_and_what_is_beside(subject, beside, caption):
    assert made_caption(subject, beside) == caption


def test_articles_follow_the_first_letter():
    assert [with_article(each) for each in ("orange cat", "<robot>")] == [
        "an orange cat",
        "a <robot>",
    ]
