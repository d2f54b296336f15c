"""The arms: ways to train, as a recipe has them or as common scripts do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from benchmarks.subject_front.split import VARIED, background_words

__all__ = ["ARMS", "CAPTIONS", "Arm", "Technique"]

_STEPS = 600  # of scripts and candidates, as the recipe has

Technique = Literal["dreambooth", "textual_inversion", "pivotal_tuning"]


@dataclass(frozen=True)
class Arm:
    """A way to train.

    Args:
        name: Its name in files and tables.
        technique: Name of the recipe, and of what it trains.
        model: Arguments of the module that are not the recipe's; of a script, all.
        data: Arguments of the data likewise.
        steps: Optimizer steps; None for the recipe's.
        is_script: Whether nothing is taken from the recipe but the number of steps.
        title: Its name for readers.
    """

    name: str
    technique: Technique
    model: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    steps: int | None = None
    is_script: bool = False
    title: str = ""


def _script(name: str, rate: float, text_encoder: bool, title: str, captions: bool = False) -> Arm:
    """Train as diffusers' `train_dreambooth_lora.py` does by default, but for the rate."""
    return Arm(
        name,
        "dreambooth",
        {
            "rank": 4,
            "alpha": 4,
            "target_modules": "attention",
            "prior_loss_weight": 1.0,
            "class_inference_steps": 20,
            "class_guidance_scale": 2.0,
            "learning_rate": rate,
            "text_encoder_learning_rate": rate if text_encoder else None,
            "lr_schedule": "constant",
        },
        {
            **({} if captions else {"instance_prompt": "a {subject}"}),
            "class_prompt": "a {class}",
            "class_count": 96,
            "identifier": "qqq",
            "batch_size": 4,
        },
        steps=_STEPS,
        is_script=True,
        title=title,
    )


def _inversion(name: str, rate: float, title: str) -> Arm:
    """Train as diffusers' `textual_inversion.py` does by default, but for the rate."""
    return Arm(
        name,
        "textual_inversion",
        {"num_vectors": 1, "learning_rate": rate, "lr_schedule": "constant"},
        {
            "instance_prompt": "{subject}",
            "prompt_templates": "object",
            "flip": True,
            "batch_size": 8,
        },
        steps=_STEPS,
        is_script=True,
        title=title,
    )


def _dreambooth(name: str, title: str, **changes: Any) -> Arm:
    model = {key: value for key, value in changes.items() if key not in _DATA}
    data = {key: value for key, value in changes.items() if key in _DATA}
    steps = model.pop("steps", _STEPS)
    return Arm(name, "dreambooth", model, data, steps, title=title)


_DATA = {"captioner", "class_prompt", "caption_dropout", "flip", "batch_size", "instance_prompt"}
_OTHERS = [
    "a cat face on a dotted yellow and red background",
    "a dog face on a white background",
    "a rabbit face on a checkered green and black background",
    "a rose on a pink background",
]
_MANY = ["a {class}", *(f"a {{class}} {background_words(each)}" for each in VARIED)]
CAPTIONS = "{caption}"
"""As a class prompt of an arm: the photos' captions, with the class in the subject's place."""
_BOTH = [CAPTIONS, *_MANY, *_OTHERS]


def _rates(rate: float) -> dict[str, Any]:
    return {"learning_rate": rate, "text_encoder_learning_rate": rate}


ARMS: dict[str, Arm] = {
    arm.name: arm
    for arm in (
        Arm("db_recipe", "dreambooth", title="recipes/dreambooth.yaml"),
        _dreambooth("db_alone", "the recipe, no captions made", captioner="none"),
        _script("db_script_1e-4", 1e-4, False, "a script, 1e-4"),
        _script("db_script_1e-3", 1e-3, False, "a script, 1e-3"),
        _script("db_script_2e-3", 2e-3, False, "a script, 2e-3"),
        _script("db_script_1e-4_text", 1e-4, True, "a script, 1e-4, text encoder too"),
        _script("db_script_1e-3_text", 1e-3, True, "a script, 1e-3, text encoder too"),
        _script("db_script_2e-3_text", 2e-3, True, "a script, 2e-3, text encoder too"),
        _script("db_script_1e-3_captions", 1e-3, False, "a script, 1e-3, made captions", True),
        _dreambooth("db_many", "class on eight backgrounds", class_prompt=_MANY),
        _dreambooth("db_captions", "class on the photos' backgrounds", class_prompt=[CAPTIONS]),
        _dreambooth(
            "db_both", "class on the photos' backgrounds and others", class_prompt=_BOTH
        ),
        _dreambooth(
            "db_1e-3", "half the rates", learning_rate=1e-3, text_encoder_learning_rate=1e-3
        ),
        *(
            _dreambooth(f"db_both_{name}", f"both, {title}", class_prompt=_BOTH, **changes)
            for name, title, changes in (
                ("1e-3", "half the rates", _rates(1e-3)),
                ("5e-4", "a quarter of the rates", _rates(5e-4)),
                ("dropout", "captions left out in 1 of 10", {"caption_dropout": 0.1}),
                ("text_5e-4", "text encoder 5e-4", {"text_encoder_learning_rate": 5e-4}),
                ("text_off", "text encoder frozen", {"text_encoder_learning_rate": None}),
                ("flip", "mirrored", {"flip": True}),
                ("prior_0.3", "prior weight 0.3", {"prior_loss_weight": 0.3}),
                ("300", "300 steps", {"steps": 300}),
                ("attention", "attention alone", {"target_modules": "attention"}),
                ("rank_4", "rank 4", {"rank": 4, "alpha": 7}),
            )
        ),
        _dreambooth("db_prior_0", "no prior", prior_loss_weight=0.0),
        Arm("ti_recipe", "textual_inversion", title="recipes/textual_inversion.yaml"),
        Arm(
            "ti_alone", "textual_inversion", data={"captioner": "none"},
            title="the recipe, no captions made",
        ),
        _inversion("ti_script_5e-4", 5e-4, "a script, 5e-4"),
        _inversion("ti_script_5e-3", 5e-3, "a script, 5e-3"),
        Arm("ti_1", "textual_inversion", {"num_vectors": 1}, title="one vector"),
        Arm("ti_3", "textual_inversion", {"num_vectors": 3}, title="three vectors"),
        Arm("ti_2e-3", "textual_inversion", {"learning_rate": 2e-3}, title="2e-3"),
        Arm("ti_2e-2", "textual_inversion", {"learning_rate": 2e-2}, title="2e-2"),
        Arm(
            "ti_dropout", "textual_inversion", data={"caption_dropout": 0.1},
            title="captions left out in 1 of 10",
        ),
        Arm("pt_recipe", "pivotal_tuning", title="recipes/pivotal_tuning.yaml"),
        Arm(
            "pt_no_prior", "pivotal_tuning", {"prior_loss_weight": 0.0}, {"batch_size": 8},
            title="no class pictures, 8 photos a step",
        ),
        Arm("pt_200", "pivotal_tuning", steps=200, title="the recipe, 200 steps"),
        Arm("pt_prior_0.3", "pivotal_tuning", {"prior_loss_weight": 0.3}, title="prior weight 0.3"),
        Arm(
            "pt_alone", "pivotal_tuning", data={"captioner": "none"},
            title="the recipe, no captions made",
        ),
        Arm("pt_5e-4", "pivotal_tuning", {"learning_rate": 5e-4}, title="LoRA at 5e-4"),
        Arm("pt_2e-3", "pivotal_tuning", {"learning_rate": 2e-3}, title="LoRA at 2e-3"),
        Arm(
            "pt_dropout", "pivotal_tuning", data={"caption_dropout": 0.1},
            title="captions left out in 1 of 10",
        ),
    )
}  # fmt: skip
