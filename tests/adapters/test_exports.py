import pytest
import torch

from sdtune.adapters.exports import export_lora
from sdtune.adapters.lora import LoRAAdapter, add_lora, lora_parameters
from sdtune.adapters.protocol import ExportableAdapter
from sdtune.adapters.verification import AdapterVerificationError
from sdtune.models import load


def tuned(folder, **arguments):
    model = load(folder)
    add_lora(model, rank=2, alpha=3.0, target_modules=["to_q", "q_proj"], text_encoder=True,
             **arguments)  # fmt: skip
    with torch.no_grad():
        for parameter in lora_parameters(model):
            parameter += 0.1
    return model


def test_both_layouts_are_written_and_the_model_left_as_it_was(tmp_path, tiny_sd):
    model = tuned(tiny_sd)
    before = [parameter.clone() for parameter in lora_parameters(model)]
    adapter = LoRAAdapter.from_model(model)
    assert isinstance(adapter, ExportableAdapter)
    paths = adapter.export(tmp_path, model, {"ss_steps": "4"})
    assert [path.name for path in paths] == ["kohya_lora.safetensors", "peft"]
    pairs = zip(before, lora_parameters(model), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)


def test_a_file_that_loses_something_is_found(tmp_path, tiny_sd):
    model = tuned(tiny_sd)
    adapter = LoRAAdapter.from_model(model)
    weak = LoRAAdapter(
        {part: {key: 0.5 * each for key, each in weights.items()}
         for part, weights in adapter.weights.items()},
        adapter.configs,
    )  # fmt: skip
    with pytest.raises(AdapterVerificationError, match="output differs by"):
        export_lora(weak, tmp_path, model)


def test_a_dora_is_left_out(tmp_path, tiny_sd):
    model = tuned(tiny_sd, use_dora=True)
    assert export_lora(LoRAAdapter.from_model(model), tmp_path, model) == []
    assert not list(tmp_path.iterdir())
