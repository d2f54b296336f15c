import math
from dataclasses import replace

import pytest

from sdtune.adapters.lora.settings import LoRASettings

SETTINGS = LoRASettings(4, 4.0, 0.0, "attention", use_dora=False)


def test_the_text_encoder_has_sizes_of_its_own_or_the_unets():
    assert SETTINGS.size_in("text_encoder") == SETTINGS.size_in("unet") == (4, 4.0)
    assert replace(SETTINGS, text_encoder_rank=2).size_in("text_encoder_2") == (2, 4.0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"rank": 0}, ValueError, "`rank` to be a positive integer, but got 0"),
        ({"rank": -4}, ValueError, "`rank` to be a positive integer, but got -4"),
        ({"rank": 2.5}, TypeError, "`rank` to be a positive integer, but got 2.5"),
        ({"rank": True}, TypeError, "`rank` to be a positive integer, but got True"),
        ({"alpha": 0.0}, ValueError, "`alpha` to be a positive number"),
        ({"alpha": math.nan}, ValueError, "`alpha` to be a positive number"),
        ({"dropout": 1.0}, ValueError, r"`dropout` to be in \[0, 1\)"),
        ({"target_modules": "attn"}, ValueError, "one of `attention`, .*`all`, but got `attn`"),
        ({"target_modules": []}, ValueError, "non-empty list"),
        ({"target_modules": [""]}, ValueError, "non-empty list"),
    ],
)
def test_wrong_arguments_are_refused_without_a_model(arguments, error, message):
    with pytest.raises(error, match=message):
        replace(SETTINGS, **arguments).check()
