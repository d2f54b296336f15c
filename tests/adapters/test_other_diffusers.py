"""Our files in a diffusers of another age, installed in a folder of its own.

    pip install --target /somewhere/old --no-deps diffusers==0.32.1 transformers==4.48.3 \\
        huggingface_hub==0.27.1 tokenizers==0.21.4 peft==0.14.0
    SDTUNE_OTHER_DIFFUSERS=/somewhere/old pytest tests/adapters/test_other_diffusers.py
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from sdtune.adapters.adapter_set import AdapterSet
from sdtune.adapters.lora import LoRAAdapter, add_lora, lora_parameters
from sdtune.models import load
from tests.tiny_models import make_tiny_sd

FOLDER = os.environ.get("SDTUNE_OTHER_DIFFUSERS")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FOLDER, reason="SDTUNE_OTHER_DIFFUSERS names no installation"),
]

SCRIPT = """
import sys, torch, diffusers
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel

base, lora, inputs, out = sys.argv[1:]
pipeline = StableDiffusionPipeline(
    vae=AutoencoderKL.from_pretrained(base, subfolder="vae"),
    text_encoder=CLIPTextModel.from_pretrained(base, subfolder="text_encoder"),
    tokenizer=None,  # another age's file may not be read, and token ids are given
    unet=UNet2DConditionModel.from_pretrained(base, subfolder="unet"),
    scheduler=PNDMScheduler.from_pretrained(base, subfolder="scheduler"),
    safety_checker=None, feature_extractor=None, requires_safety_checker=False,
)
given = load_file(inputs)
if lora != "none":
    folder, _, name = lora.rpartition("/")
    pipeline.load_lora_weights(folder, weight_name=name)
with torch.no_grad():
    hidden = pipeline.text_encoder(given["ids"])[0]
    sample = pipeline.unet(given["noise"], torch.tensor(100), given["hidden"]).sample
print("diffusers", diffusers.__version__)
save_file({"hidden": hidden.contiguous(), "sample": sample.contiguous()}, out)
"""


def read_elsewhere(base, lora, inputs, out):
    environment = {**os.environ, "PYTHONPATH": str(FOLDER)}
    subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, (base, lora, inputs, out))],
        check=True, env=environment, cwd=out.parent,
    )  # fmt: skip
    return load_file(out)


@pytest.mark.parametrize("use_dora", [False, True])
def test_it_gets_what_was_trained(tmp_path, use_dora):
    folder = make_tiny_sd(tmp_path / "base")
    model = load(folder)
    weights = folder / "text_encoder" / "model.safetensors"
    # as transformers before 5.6 named them
    old = {f"text_model.{k.removeprefix('text_model.')}": v for k, v in load_file(weights).items()}
    save_file(old, weights, {"format": "pt"})
    targets = "attention" if use_dora else "attention+feed_forward"
    add_lora(model, rank=8, alpha=3.0, target_modules=targets, text_encoder=True, use_dora=use_dora)
    with torch.no_grad():
        for number, parameter in enumerate(lora_parameters(model)):
            generator = torch.Generator().manual_seed(number)
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    path = AdapterSet(LoRAAdapter.from_model(model)).save(tmp_path / "adapter")
    generator = torch.Generator().manual_seed(1)
    given = {
        "ids": model.tokenize(["a cat"]),
        "noise": torch.randn(1, 4, 8, 8, generator=generator),
        "hidden": torch.randn(1, 77, 32, generator=generator),
    }
    save_file(given, tmp_path / "inputs.safetensors")

    def outputs(one):
        with torch.no_grad():
            one.eval()
            hidden = one.text_encoders[0](given["ids"])[0]
            sample = one.unet(given["noise"], torch.tensor(100), given["hidden"]).sample
        return {"hidden": hidden, "sample": sample}

    plain = copy.deepcopy(model)
    LoRAAdapter.remove(plain)
    for lora, wanted in (("none", outputs(plain)), (path, outputs(model))):
        found = read_elsewhere(folder, lora, tmp_path / "inputs.safetensors", tmp_path / "out")
        for name, each in wanted.items():
            error = ((found[name] - each).norm() / each.norm()).item()
            sys.stdout.write(f"{lora} {name} {error:.1e}\n")
            assert error < 1e-5, (str(lora), name)
