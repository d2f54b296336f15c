"""All that is wrong with a call is said at once."""

import pytest

from sdtune import LoRAStyleModule, StyleDataModule
from sdtune._checks import check_all, check_share


def _refuse(error: Exception) -> None:
    raise error


def test_nothing_wrong_raises_nothing() -> None:
    check_all(lambda: None, lambda: 1)


def test_one_error_is_raised_as_it_is() -> None:
    with pytest.raises(TypeError, match=r"^rank$"):
        check_all(lambda: _refuse(TypeError("rank")), lambda: None)


def test_several_are_listed_also_through_levels() -> None:
    def inner() -> None:
        check_all(lambda: _refuse(ValueError("alpha")), lambda: _refuse(TypeError("rank")))

    with pytest.raises(ValueError, match=r"^- alpha\n- rank\n- base$"):
        check_all(inner, lambda: _refuse(ValueError("base")))


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_share_is_from_0_to_1(value: float) -> None:
    check_share("caption_dropout", 0)
    check_share("caption_dropout", 1)
    with pytest.raises(ValueError, match=r"Expected `caption_dropout` to be in \[0, 1\], but got"):
        check_share("caption_dropout", value)


@pytest.mark.parametrize(
    ("name", "value"), [("compile", "false"), ("cuda_graphs", {}), ("use_dora", None)]
)
def test_what_is_true_or_false_is_nothing_else(name: str, value: object) -> None:
    with pytest.raises(TypeError, match=f"`{name}` to be true or false, but got"):
        LoRAStyleModule("nano", **{name: value})


def test_data_takes_true_or_false_too() -> None:
    with pytest.raises(TypeError, match=r"`flip` to be true or false, but got 'no'"):
        StyleDataModule("pictures", flip="no")
