from __future__ import annotations

from pathlib import Path

import pytest

from sdtune.run_folder.run_recipe import model_argument, precision_of

_RECIPE = """
model: {class_path: sdtune.LoRAStyleModule, init_args: {base: nano, quantization: nf4}}
trainer: {precision: PRECISION}
"""


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("bf16-mixed", "bfloat16"),
        ("bf16", "bfloat16"),
        ("16-mixed", "float16"),
        ("16", "float16"),
        ("32-true", "float32"),
        ("null", "float32"),
    ],
)
def test_a_run_s_precision_is_found_from_its_adapters(
    given: str, expected: str, tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text(_RECIPE.replace("PRECISION", given))
    adapter = tmp_path / "adapter" / "step_000003" / "peft"
    assert precision_of(adapter) == precision_of(tmp_path) == expected
    assert model_argument(adapter, "quantization") == "nf4"
    assert model_argument(adapter, "rank") is None


def test_the_latest_start_counts(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(_RECIPE.replace("PRECISION", "bf16-mixed"))
    (tmp_path / "config_2.yaml").write_text(_RECIPE.replace("PRECISION", "32-true"))
    assert precision_of(tmp_path) == "float32"


@pytest.mark.parametrize("text", ["- a list", "model: [", "model: {init_args: 3}\ntrainer: x"])
def test_what_is_no_recipe_says_nothing(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text)
    assert precision_of(tmp_path) == precision_of(tmp_path / "elsewhere") == "float32"
    assert model_argument(tmp_path, "base") is None
