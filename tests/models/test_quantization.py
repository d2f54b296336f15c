"""Which layers of a base are quantised, and how near its predictions stay."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from sdtune.adapters.verification import prediction
from sdtune.models import NANO, StableDiffusion, load
from sdtune.models.quantization import (
    Quantization,
    check_quantization,
    quantize_base,
    quantized_layers,
)
from sdtune.models.quantized_linear import QuantizedLinear


def quantized(base: str | Path, quantization: Quantization, **options: bool) -> StableDiffusion:
    model = load(base)
    quantize_base(model, quantization, **options)
    return model


@pytest.mark.parametrize(("quantization", "base"), [("nf4", "tiny_xl"), ("int8", "tiny_sd")])
def test_linear_layers_are_quantised_and_nothing_else(
    quantization: Quantization, base: str, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(base)
    exact, model = load(path), quantized(path, quantization, text_encoders=True)
    assert quantized_layers(exact.unet) == {}
    assert [*quantized_layers(model.unet)] == [quantization]
    left = []
    for part in ("unet", "text_encoders"):
        before, after = (dict(getattr(each, part).named_modules()) for each in (exact, model))
        for name, module in after.items():
            assert isinstance(module, QuantizedLinear) <= isinstance(before[name], nn.Linear)
            if type(module) is nn.Linear:
                left.append(name.partition(".")[0] if part == "unet" else name.partition(".")[2])
    embeddings = {"time_embedding"}
    if base == "tiny_xl":
        embeddings |= {"add_embedding", "text_projection"}
    assert set(left) == embeddings


@pytest.mark.parametrize(("quantization", "bound"), [("nf4", 0.06), ("int8", 0.006)])
def test_predictions_of_trained_weights_stay_near(quantization: Quantization, bound: float) -> None:
    expected, found = (prediction(each) for each in (load(NANO), quantized(NANO, quantization)))
    error = (found - expected).norm() / expected.norm()
    assert 0 < error < bound


def test_the_base_keeps_its_name(micro_sd: Path) -> None:
    exact, model = load(micro_sd), quantized(micro_sd, "nf4")
    assert model.fingerprint("unet") == exact.fingerprint("unet")


def test_what_is_no_quantization_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    check_quantization(None)
    check_quantization("int8")
    with pytest.raises(ValueError, match="Expected `quantization` to be one of `nf4`, `int8`, or"):
        check_quantization("fp4")
    monkeypatch.setattr("sdtune.models.quantization.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install bitsandbytes"):
        check_quantization("nf4")
