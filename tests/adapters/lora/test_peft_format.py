import json

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from sdtune.adapters.lora import LoRAAdapter, add_lora, lora_parameters
from sdtune.adapters.lora.peft_format import PEFTFormat
from sdtune.adapters.pipeline import load_adapter
from sdtune.adapters.verification import prediction
from sdtune.models import load


def move(parameters):
    with torch.no_grad():
        for parameter in parameters:
            parameter += 0.05


def test_a_folder_does_what_the_model_does_and_peft_reads_it(tmp_path, micro_sd):
    trained = load(micro_sd)
    add_lora(trained, rank=2, alpha=3.0, target_modules="attention", text_encoder=True)
    move(lora_parameters(trained))
    trained.eval()
    PEFTFormat().write(LoRAAdapter.from_model(trained), tmp_path, {})
    fresh = load(micro_sd)
    load_adapter(fresh, tmp_path)
    torch.testing.assert_close(prediction(fresh), prediction(trained), rtol=0, atol=1e-5)
    other = load(micro_sd)
    other.unet = PeftModel.from_pretrained(other.unet, tmp_path / "unet").get_base_model()
    other.text_encoders[0] = PeftModel.from_pretrained(
        other.text_encoders[0], tmp_path / "text_encoder"
    ).get_base_model()
    torch.testing.assert_close(prediction(other), prediction(trained), rtol=0, atol=1e-5)


def test_a_folder_that_peft_wrote(tmp_path, micro_sd):
    trained = load(micro_sd)
    config = LoraConfig(
        r=2, lora_alpha=3, target_modules=["to_q", "to_v"], rank_pattern={"to_v": 4},
        alpha_pattern={"to_v": 1}, use_rslora=True,
    )  # fmt: skip
    wrapped = get_peft_model(trained.unet, config)
    move(each for name, each in wrapped.named_parameters() if "lora_" in name)
    wrapped.save_pretrained(tmp_path)
    trained.eval()
    fresh = load(micro_sd)
    load_adapter(fresh, tmp_path)
    torch.testing.assert_close(prediction(fresh), prediction(trained), rtol=0, atol=1e-5)


def test_another_kind_of_adapter_is_one_sentence(tmp_path, micro_sd):
    (tmp_path / "adapter_model.safetensors").touch()
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "IA3"}))
    with pytest.raises(ValueError, match="`peft_type` is IA3"):
        load_adapter(load(micro_sd), tmp_path)
