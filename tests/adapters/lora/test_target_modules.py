import pytest

from sdtune.adapters.lora.target_modules import target_problems


@pytest.mark.parametrize("names", ["all", ["to_q", "to_out.0"], ["conv1"]])
def test_what_is_there_is_no_problem(names):
    assert target_problems("nano", names, text_encoder=False) == []


def test_a_name_that_is_nowhere_is_named():
    [problem] = target_problems("nano", ["to_q", "to_x", "q_proj"], text_encoder=False)
    assert "ends of module names of unet, but there is no `to_x`, `q_proj`." in problem


def test_each_part_that_is_tuned_needs_a_name():
    assert target_problems("nano", ["to_q", "q_proj"], text_encoder=True) == []
    [problem] = target_problems("nano", ["to_q"], text_encoder=True)
    assert "to name a module of the text_encoder" in problem
