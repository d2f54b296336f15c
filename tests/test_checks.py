"""All that is wrong with a call is said at once."""

from collections.abc import Iterator
from inspect import signature

import numpy as np
import pytest

import sdtune
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


_PUBLIC = (
    *("AdapterCheckpoint", "DreamBoothModule", "EvaluationCallback", "LoRAStyleModule"),
    *("MultiConceptModule", "PictureLosses", "PivotalTuningModule", "Progress"),
    *("ResumeCheckpoint", "SampleGrid", "StyleDataModule", "SubjectDataModule"),
    *("ConceptsDataModule", "TextualInversionModule"),
)
_NEEDED = {"prompts": ["a cat"], "folder": "pictures", "instance_dir": "pictures"}
_NUMBERS = ("int", "float", "int | None", "float | None")


def _numbers() -> Iterator[tuple[str, str]]:
    for owner in _PUBLIC:
        for name, parameter in signature(getattr(sdtune, owner)).parameters.items():
            if str(getattr(parameter.annotation, "__name__", parameter.annotation)) in _NUMBERS:
                yield owner, name


@pytest.mark.parametrize(("owner", "name"), [*_numbers()])
def test_text_is_no_number(owner: str, name: str) -> None:
    made = getattr(sdtune, owner)
    needed = {each: _NEEDED[each] for each in signature(made).parameters if each in _NEEDED}
    needed |= {"concepts": [sdtune.Concept("pictures")]} if owner == "ConceptsDataModule" else {}
    with pytest.raises((TypeError, ValueError), match=f"Expected `{name}` to be .*, but got '8'"):
        made(**needed, **{name: "8"})


def test_several_texts_are_told_at_once() -> None:
    with pytest.raises(ValueError, match=r"`rank` to be an integer, but got '8'.*\n.*`learning_r"):
        LoRAStyleModule("nano", rank="8", learning_rate="1e-4")
    with pytest.raises(TypeError, match="`rank` to be an integer, but got True"):
        LoRAStyleModule("nano", rank=True)
    with pytest.raises(TypeError, match=r"`batch_size` to be an integer, but got 2\.0"):
        StyleDataModule("pictures", batch_size=2.0)
    assert LoRAStyleModule("nano", alpha=np.float64(8), warmup_steps=np.int64(2)).warmup_steps == 2
