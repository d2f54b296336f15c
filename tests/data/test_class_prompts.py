import pytest

from sdtune._prompt_fields import Subject
from sdtune.data.class_prompts import CAPTION, check_captions_of_class, class_caption, with_captions

ROBOT = Subject("robot", "qqq")
WORD = Subject("cat", placeholder="<cat>")
NAMED = Subject("cat face", placeholder="<erica>", name="<erica> face")


@pytest.mark.parametrize(
    ("subject", "caption", "of_class"),
    [
        (ROBOT, "a qqq robot on grass", "a robot on grass"),
        (ROBOT, "a photo of qqq robot, a table", "a photo of robot, a table"),
        (Subject("robot", "erica"), "an erica robot on grass", "a robot on grass"),
        (Subject("apple", "qqq"), "a qqq apple on grass", "an apple on grass"),
        (Subject("cat face", "qqq"), "a crying qqq cat on grass", "a crying cat on grass"),
        (Subject("cat face", "qqq"), "a qqq orange cat on grass", "an orange cat on grass"),
        (WORD, "a <cat> face on grass", "a cat face on grass"),
        (NAMED, "an <erica> face on grass", "a cat face on grass"),
        (NAMED, "a crying <erica> on grass", "a crying cat on grass"),
        (ROBOT, "a qqqrobot on grass", "a qqqrobot on grass"),
    ],
)
def test_the_class_takes_the_subject_s_place(subject, caption, of_class):
    assert class_caption(caption, subject) == of_class


def test_captions_are_told_of_the_class_once_each_and_in_their_place():
    captions = ["a qqq robot on grass", "", "a qqq robot on sand", "a qqq robot on grass"]
    told = with_captions(["a robot", CAPTION, "a dog"], captions, ROBOT)
    assert told == ["a robot", "a robot on grass", "a robot on sand", "a dog"]
    assert with_captions(["a robot"], captions, ROBOT) == ["a robot"]


@pytest.mark.parametrize(
    ("prompts", "noun", "folder", "message"),
    [
        (["a photo: {caption}"], "robot", None, "a text of its own"),
        ([CAPTION], None, None, "without a `class_noun`"),
        ([CAPTION], "robot", "faces", "with a `class_dir`"),
    ],
)
def test_captions_need_a_noun_and_pictures_that_are_drawn(prompts, noun, folder, message):
    with pytest.raises(ValueError, match=message):
        check_captions_of_class(prompts, noun, folder)
    check_captions_of_class(["a robot", CAPTION], "robot", None)
