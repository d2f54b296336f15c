import pytest

from sdtune.evaluation.settings import check_settings
from sdtune.run_folder.record import EvaluationSettings


def protocol(**changes):
    defaults = {
        "prompts": ["a cat", "a dog"],
        "seeds": [0],
        "class_prompts": [],
        "num_inference_steps": 2,
        "guidance_scale": 3.0,
        "negative_prompt": "",
        "clip": "nano",
        "dino": None,
    }
    return EvaluationSettings(**(defaults | changes))


def test_prompts_and_seeds_in_order():
    check_settings(protocol())
    check_settings(protocol(width=640, height=384))
    check_settings(protocol(prompts=["a cat"], seeds=[0, 1], class_prompts=["a pet"]))


def test_all_that_is_wrong_is_said():
    with pytest.raises(ValueError, match="`prompts` to be a list") as caught:
        check_settings(protocol(prompts=["a", "a"], seeds=[], num_inference_steps=0))
    assert "`seeds` to be a list of at least one value" in str(caught.value)
    assert "`num_inference_steps` to be a positive integer, but got 0" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompts": "a cat"}, "`prompts` to be a list"),
        ({"prompts": ["a cat"]}, "`prompts` or `seeds` to hold at least two values"),
        ({"class_prompts": ["a pet"]}, "`class_prompts` or `seeds` to hold at least two"),
        ({"prompts": ["a cat", " "]}, "`prompts` to be texts"),
        ({"guidance_scale": -1.0}, "`guidance_scale` to be 0 or more"),
        ({"width": 100}, "`width` to be a positive multiple of 8, but got 100"),
        ({"height": 0}, "`height` to be a positive multiple of 8, but got 0"),
    ],
)
def test_each_problem_names_its_argument(changes, message):
    with pytest.raises(ValueError, match=message):
        check_settings(protocol(**changes))
