"""What cannot be is named before a model is loaded."""

from __future__ import annotations

import logging

import pytest

from sdtune import _imports
from sdtune.techniques.optimization import check_optimization_arguments
from tests.techniques.optimization.tiny_module import TinyModule, fit

ARGUMENTS = {
    "optimizer": "adamw",
    "lr_schedule": "constant",
    "learning_rates": {"learning_rate": 1e-4, "text_encoder_learning_rate": None},
    "weight_decay": 0.0,
    "warmup_steps": 0,
}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"optimizer": "adam"}, "Expected `optimizer` to be one of `adamw`.*but got `adam`"),
        ({"lr_schedule": "step"}, "Expected `lr_schedule` to be one of `constant`"),
        ({"learning_rates": {"learning_rate": 0.0}}, "Expected `learning_rate` to be a positive"),
        ({"weight_decay": -1.0}, "Expected `weight_decay` to be 0 or more, but got -1.0"),
        ({"warmup_steps": -1}, "Expected `warmup_steps` to be 0 or more, but got -1"),
        (
            {"optimizer": "adafactor_relative_step", "lr_schedule": "cosine"},
            "`lr_schedule` to be `constant` beside `optimizer` `adafactor_relative_step`, which "
            "sets its own rates, but got `cosine`",
        ),
        (
            {"optimizer": "adafactor_relative_step", "warmup_steps": 5},
            "`warmup_steps` to be 0 beside `optimizer` `adafactor_relative_step`.*but got 5",
        ),
        (
            {"optimizer": "adamw_schedule_free", "lr_schedule": "linear"},
            "`lr_schedule` to be `constant` beside `optimizer` `adamw_schedule_free`, which "
            "averages in place of a falling rate, but got `linear`",
        ),
    ],
)
def test_bad_arguments_are_named(
    changed: dict, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_imports, "find_spec", lambda name: name)  # all is installed
    check_optimization_arguments(**ARGUMENTS)
    with pytest.raises(ValueError, match=message):
        check_optimization_arguments(**(ARGUMENTS | changed))


@pytest.mark.parametrize(
    ("optimizer", "extra"), [("prodigy", "prodigy"), ("adamw_schedule_free", "schedulefree")]
)
def test_a_missing_package_is_named_with_its_extra(
    optimizer: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_imports, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=rf'`{optimizer}`.*pip install "sdtune\[{extra}\]"'):
        check_optimization_arguments(**(ARGUMENTS | {"optimizer": optimizer}))


def test_a_warmup_as_long_as_the_run_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        fit(TinyModule(warmup_steps=3), max_steps=4)
        assert not caplog.messages
        fit(TinyModule(warmup_steps=3), max_steps=3)
    assert caplog.messages == [
        "The run has 3 optimizer steps and `warmup_steps` is 3: the full learning rate is never "
        "reached."
    ]
