import pytest

from sdtune._prompt_fields import Subject
from sdtune.data.described_subject import described

ROBOT = Subject("robot", "qqq")
VASE = Subject("red vase", placeholder="<red-vase>")
DOG = Subject("dog", "erica")
MAN = Subject("man", "qqq")
CAT = Subject("cat toy", "qqq")
BOTTLE = Subject("bottle of wine", "qqq")


@pytest.mark.parametrize(
    ("subject", "text", "caption"),
    [
        (ROBOT, "a robot standing on a table", "a {subject} standing on a table"),
        (ROBOT, "a robot, green, grass", "a {subject}, green, grass"),
        (ROBOT, "A Robot", "a {subject}"),
        (ROBOT, "a robot walks on mars", "a {subject} walks on mars"),
        # its looks are the subject's own
        (ROBOT, "a small blue and white robot on a table", "a {subject} on a table"),
        (ROBOT, "an old, rusty robot in a garden", "a {subject} in a garden"),
        (ROBOT, "a robot toy sitting on a shelf", "a {subject} sitting on a shelf"),
        (ROBOT, "a robot robot on a table", "a {subject} on a table"),
        (DOG, "a brown dog on a couch", "an {subject} on a couch"),
        # it need not come first
        (ROBOT, "the wall behind the robot", "the wall behind the {subject}"),
        (
            ROBOT,
            "two people looking at a robot in snow",
            "two people looking at a {subject} in snow",
        ),
        (ROBOT, "a man and a robot on a bench", "a man and a {subject} on a bench"),
        # other words for it
        (ROBOT, "a toy on a table", "a {subject} on a table"),
        (ROBOT, "a table with a toy on it", "a table with a {subject} on it"),
        (ROBOT, "a man holding a toy", "a man holding a {subject}"),
        (DOG, "a puppy laying on a couch", "an {subject} laying on a couch"),
        (MAN, "a person wearing cat ears", "a {subject} wearing cat ears"),
        (VASE, "a red table with a vase on it", "a red table with a {subject} on it"),
        (CAT, "a stuffed cat on a bed", "a {subject} on a bed"),
        (BOTTLE, "a bottle on a table of wood", "a {subject} on a table of wood"),
        # what is no letter, and letters that are typed in two ways
        (Subject("mug!", "qqq"), "a mug! on a red table", "a {subject} on a red table"),
        (Subject("घड़ी", "qqq"), "a घड़ी on a table", "a {subject} on a table"),
        (Subject("cafe\u0301", "qqq"), "a caf\xe9 on a hill", "a {subject} on a hill"),
        # nothing that is it
        (ROBOT, "a table", "a photo of {subject}, a table"),
        (ROBOT, "a woman wearing robot ears", "a photo of {subject}, a woman wearing robot ears"),
        (VASE, "a red table", "a photo of {subject}, a red table"),
        (ROBOT, "robots on grass", "a photo of {subject}, robots on grass"),
        (ROBOT, ", green, grass", "a photo of {subject}, green, grass"),
        (ROBOT, "{class} on {x}", "a photo of {subject}, (class) on (x)"),
        (ROBOT, "  ", "a {subject}"),
    ],
)
def test_the_subject_stands_in_the_place_of_what_it_was_called(subject, text, caption):
    assert described(text, subject) == caption


def test_a_very_long_text_is_read_at_once():
    assert described("a " * 50_000, ROBOT).startswith("a photo of {subject}, a a")
