"""LoRAStyleModule: which parameters learn, and at which rates."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdtune.techniques.lora_style import LoRAStyleModule


def _count(module: LoRAStyleModule) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


@pytest.mark.parametrize("target_modules", ["attention", "attention+feed_forward", "all"])
def test_parameters_are_rank_times_the_sides_of_each_layer(
    tiny_sd: Path, target_modules: str
) -> None:
    module = LoRAStyleModule(str(tiny_sd), rank=3, target_modules=target_modules)
    module.load_base()
    expected = 0
    for layer in module.model.unet.modules():
        if hasattr(layer, "lora_A"):
            weight = layer.get_base_layer().weight
            kernel = weight[0, 0].numel() if weight.ndim == 4 else 1
            expected += 3 * (weight.shape[1] * kernel + weight.shape[0])
    assert _count(module) == expected > 0


def test_attention_tunes_sd14s_128_layers_and_feed_forward_its_192(tiny_sd: Path) -> None:
    counts = []
    for target_modules in ("attention", "attention+feed_forward"):
        module = LoRAStyleModule(str(tiny_sd), rank=1, target_modules=target_modules)
        module.load_base()
        counts.append(sum(hasattr(layer, "lora_A") for layer in module.model.unet.modules()))
    assert counts == [128, 192]


def test_unet_and_text_encoder_have_their_own_rates(tiny_sd: Path) -> None:
    module = LoRAStyleModule(
        str(tiny_sd), rank=2, learning_rate=1e-3, text_encoder_learning_rate=1e-5
    )
    module.load_base()
    groups = {group["name"]: group for group in module.parameter_groups()}
    assert {name: group["lr"] for name, group in groups.items()} == {
        "unet": 1e-3,
        "text_encoder": 1e-5,
    }
    listed = [parameter for group in groups.values() for parameter in group["params"]]
    assert sum(parameter.numel() for parameter in listed) == _count(module)


def test_metadata_tells_the_run_and_no_folder(tiny_sd: Path) -> None:
    module = LoRAStyleModule(str(tiny_sd), rank=2, alpha=5.0)
    module.load_base()
    metadata = module.adapter_metadata()
    assert metadata["sdtune.rank"] == "2"
    assert metadata["sdtune.alpha"] == "5.0"
    assert metadata["sdtune.base_unet_sha256"] == module.model.fingerprint("unet")
    assert not any(str(tiny_sd.parent) in value for value in metadata.values())
