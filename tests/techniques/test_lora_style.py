"""LoRAStyleModule: which parameters learn, and at which rates."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sdtune.data.style import StyleDataModule
from sdtune.techniques.lora_style import LoRAStyleModule
from tests.fast_part import some_fast
from tests.picture_folders import make_picture_folder
from tests.quiet_trainer import quiet_trainer


def _count(module: LoRAStyleModule) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


@pytest.mark.parametrize(
    ("target_modules", "layers"),
    some_fast(
        [("attention", 128), ("attention+feed_forward", 192), ("all", None)], [("all", None)]
    ),
)
def test_parameters_are_rank_times_the_sides_of_each_of_sd14s_layers(
    tiny_sd: Path, target_modules: str, layers: int | None
) -> None:
    module = LoRAStyleModule(str(tiny_sd), rank=3, target_modules=target_modules)
    module.load_base()
    tuned = [layer for layer in module.model.unet.modules() if hasattr(layer, "lora_A")]
    assert len(tuned) == layers or (layers is None and len(tuned) > 192)
    expected = 0
    for layer in tuned:
        weight = layer.get_base_layer().weight
        kernel = weight[0, 0].numel() if weight.ndim == 4 else 1
        expected += 3 * (weight.shape[1] * kernel + weight.shape[0])
    assert _count(module) == expected > 0


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


def test_a_header_tells_of_the_training_whatever_trainer_came_later(
    micro_sd: Path, tmp_path: Path
) -> None:
    folder = make_picture_folder(tmp_path / "discs", count=5)

    def data(held_out: int) -> StyleDataModule:
        return StyleDataModule(folder, resolution=64, validation_count=held_out)

    module = LoRAStyleModule(str(micro_sd), rank=2)
    trainer = quiet_trainer(max_steps=2)
    trainer.fit(module, data(0))
    trained = module.adapter_metadata()
    assert (trained["sdtune.steps"], trained["sdtune.num_train_images"]) == ("2", "5")
    trainer.save_checkpoint(tmp_path / "two.ckpt")
    validating = quiet_trainer()
    validating.validate(module, data(2), verbose=False)
    assert module.adapter_metadata() == trained
    validating.save_checkpoint(tmp_path / "later.ckpt")
    for name in ("two.ckpt", "later.ckpt"):
        loaded = LoRAStyleModule.load_from_checkpoint(tmp_path / name)
        assert loaded.adapter_metadata() == trained
    older = torch.load(tmp_path / "two.ckpt", weights_only=True)
    del older["steps_trained"], older["trained_on"]
    torch.save(older, tmp_path / "older.ckpt")
    loaded = LoRAStyleModule.load_from_checkpoint(tmp_path / "older.ckpt")
    assert loaded.adapter_metadata()["sdtune.steps"] == "2"
    fewer = data(2)
    quiet_trainer(max_steps=1).fit(module, fewer)
    again = module.adapter_metadata()
    assert again["sdtune.steps"] == "1"
    assert again["sdtune.num_train_images"] == str(len(fewer.train_dataset.pictures)) < "5"
