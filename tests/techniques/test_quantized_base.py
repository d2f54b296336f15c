"""Training beside a quantised base: as near as its rounding lets it, and exact where it resumes."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.strategies import FSDPStrategy
from torch import Tensor

from sdtune import load_pipeline
from sdtune.adapters.verification import frozen_copy, prediction
from sdtune.evaluation.base_pictures import describe_drawer
from sdtune.models import load
from sdtune.models.quantization import Quantization, quantized_layers
from sdtune.models.quantized_linear import QuantizedLinear
from sdtune.techniques.base import DiffusionFineTuningModule
from sdtune.techniques.dreambooth import DreamBoothModule
from sdtune.techniques.lora_style import LoRAStyleModule
from tests.fast_part import some_fast
from tests.picture_folders import make_picture_folder
from tests.quiet_trainer import quiet_trainer
from tests.saved_within import SavedWithin
from tests.techniques.every_technique import LYCORIS, TECHNIQUES, data_for
from tests.techniques.small_lora import small_batch, small_module

# what the others add to a base, these add too; `dreambooth_full` trains the UNet itself
NAMES = (
    "lora",
    "dora",
    "textual_inversion",
    "pivotal_tuning_text_encoder",
    "multi_concept",
    *LYCORIS,
)
KINDS: tuple[Quantization, ...] = ("nf4", "int8")


def build(name: str, base: Path, quantization: Quantization | None) -> DiffusionFineTuningModule:
    module = {**TECHNIQUES, **LYCORIS}[name](str(base))
    module.quantization = quantization
    module.load_base()
    return module


@pytest.mark.parametrize(
    ("quantization", "of_loss", "of_gradient"),
    some_fast([("nf4", 0.03, 0.35), ("int8", 0.001, 0.03)], [("nf4", 0.03, 0.35)]),
)
def test_a_step_is_near_the_exact_bases(
    quantization: Quantization, of_loss: float, of_gradient: float, tiny_sd: Path
) -> None:
    (expected, exact), (loss, gradient) = (
        _step(small_module(tiny_sd, quantization=each)) for each in (None, quantization)
    )
    assert 0 < abs(loss / expected - 1) < of_loss
    assert 0 < (gradient - exact).norm() / exact.norm() < of_gradient


@pytest.mark.parametrize(
    ("quantization", "name"),
    some_fast(
        # a layer of either kind is replaced and read in the same way: what is added differs
        [("nf4", name) for name in NAMES]
        + [("int8", name) for name in ("lora_text_encoder", "dora", "multi_concept")],
        [("nf4", "lora"), ("nf4", "multi_concept")],
    ),
)
def test_all_that_learns_has_a_gradient_and_its_files_do_the_same(
    quantization: Quantization, name: str, micro_sd: Path, tmp_path: Path
) -> None:
    module = build(name, micro_sd, quantization)
    assert [*quantized_layers(module.model.unet)] == [quantization]
    text_layers = [isinstance(e, QuantizedLinear) for e in module.model.text_encoders.modules()]
    assert any(text_layers) == module.encodes_prompts_every_step
    fresh = prediction(module.model)
    batch = {**small_batch(), "caption": ["a <disc>", "a cup"]}
    batch |= {f"class_{key}": value for key, value in batch.items()}
    module.training_step(batch, 0)["loss"].backward()
    learned = list(module.parameters())
    assert learned
    assert all(each.grad is not None and each.dtype == torch.float32 for each in learned)
    torch.optim.SGD(learned, lr=1e-2).step()
    path = module.adapter().save(tmp_path, module.adapter_metadata())
    assert module.adapter().verify(path, module.model) < 1e-3
    with module.untuned():
        torch.testing.assert_close(prediction(module.model), fresh, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("quantization", KINDS)
def test_the_adapter_is_loaded_on_the_exact_base(
    quantization: Quantization, micro_sd: Path, tmp_path: Path
) -> None:
    found = {}
    for each in (None, quantization):
        module = small_module(micro_sd, quantization=each)
        _step(module)
        torch.optim.SGD(module.parameters(), lr=1e-2).step()
        path = module.adapter().save(tmp_path / str(each), module.adapter_metadata())
        pipeline = load_pipeline(str(micro_sd), path)
        found[each] = {key: each.dtype for key, each in pipeline.unet.state_dict().items()}
    assert found[quantization] == found[None]
    assert module.adapter_metadata()["sdtune.quantization"] == quantization


@pytest.mark.slow
@pytest.mark.parametrize("quantization", KINDS)
def test_a_resumed_run_equals_an_uninterrupted_one(
    quantization: Quantization, micro_sd: Path, tmp_path: Path
) -> None:
    folder, checkpoint = make_picture_folder(tmp_path / "discs"), tmp_path / "last.ckpt"

    def fit(*callbacks: pl.Callback, ckpt_path: Path | None = None) -> DiffusionFineTuningModule:
        module = LoRAStyleModule(
            str(micro_sd), rank=4, quantization=quantization, text_encoder_learning_rate=1e-3
        )
        trainer = quiet_trainer(
            max_steps=5,
            default_root_dir=tmp_path,
            precision="bf16-mixed",
            callbacks=list(callbacks),
        )
        trainer.fit(module, data_for(module, folder), ckpt_path=ckpt_path)
        return module

    whole = fit(SavedWithin(checkpoint, step=3)).state_dict()
    assert not any("levels" in name for name in torch.load(checkpoint)["state_dict"])
    for name, value in fit(ckpt_path=checkpoint).state_dict().items():
        assert torch.equal(value, whole[name]), name


def test_copies_share_the_bytes(micro_sd: Path) -> None:
    module = small_module(micro_sd, quantization="nf4")
    held = {each.data_ptr() for each in module.model.unet.buffers()}
    for copied in (copy.deepcopy(module).model, frozen_copy(module.model)):
        assert {each.data_ptr() for each in copied.unet.buffers()} == held
        torch.testing.assert_close(prediction(copied), prediction(module.model), rtol=0, atol=0)


def test_checkpointing_changes_no_gradient(micro_sd: Path) -> None:
    plain, recomputed = (
        _step(small_module(micro_sd, quantization="nf4", gradient_checkpointing=each))
        for each in (False, True)
    )
    torch.testing.assert_close(recomputed, plain, rtol=1e-5, atol=1e-7)


def test_the_bases_pictures_are_not_taken_for_the_exact_ones(micro_sd: Path) -> None:
    settings: dict[str, Any] = {
        "num_inference_steps": 2,
        "guidance_scale": 1.0,
        "negative_prompt": "",
        "clip_skip": 1,
        "size": (64, 64),
    }
    kinds = (None, *KINDS)
    modules = [small_module(micro_sd, quantization=each) for each in kinds]
    told = [describe_drawer(each.model, **settings) for each in modules]
    assert told[0] == describe_drawer(load(micro_sd), **settings)
    learning = small_module(micro_sd, quantization="nf4", text_encoder_learning_rate=1e-4)
    told.append(describe_drawer(learning.model, **settings))  # here it rounds text encoders too
    assert len({each.pop("base") for each in told}) == 4
    assert all(each == told[0] for each in told)


def test_merging_into_rounded_weights_is_refused(micro_sd: Path) -> None:
    module = small_module(micro_sd, quantization="nf4")
    with pytest.raises(ValueError, match="Expected a base with all its digits to merge"):
        module.model.unet.fuse_lora()


def test_a_strategy_that_splits_weights_is_refused(
    micro_sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = LoRAStyleModule(str(micro_sd), quantization="nf4")
    trainer = quiet_trainer()
    assert module.problems_with_trainer(trainer) == []
    strategy = FSDPStrategy(parallel_devices=[torch.device("cpu")])
    monkeypatch.setattr(pl.Trainer, "strategy", strategy)
    [problem] = module.problems_with_trainer(trainer)
    assert problem.startswith("Expected `model.quantization` to be null beside FSDPStrategy, which")


def test_what_cannot_be_quantised_is_refused_at_once(micro_sd: Path) -> None:
    with pytest.raises(ValueError, match="Expected `quantization` to be one of") as caught:
        DreamBoothModule(str(micro_sd), quantization="fp8", rank=0)  # type: ignore[arg-type]
    assert "`rank`" in str(caught.value)
    with pytest.raises(ValueError, match="`quantization` to be null where the UNet itself learns"):
        DreamBoothModule(str(micro_sd), quantization="nf4", full_finetune=True)


@pytest.mark.slow
@pytest.mark.parametrize(("quantization", "bound"), [("nf4", 0.005), ("int8", 0.002)])
def test_losses_follow_the_exact_bases_for_30_steps(
    quantization: Quantization, bound: float
) -> None:
    expected, found = _losses(None), _losses(quantization)
    apart = (found - expected).abs() / expected
    assert 0 < apart.max() < bound
    assert expected[-1] < 0.9 * expected[0], "nothing was learned"


def _step(module: DiffusionFineTuningModule) -> tuple[float, Tensor]:
    """Give the loss and all gradients, of an adapter that changes something already."""
    with torch.no_grad():
        for number, each in enumerate(module.parameters()):
            generator = torch.Generator().manual_seed(number)
            each.add_(0.02 * torch.randn(each.shape, generator=generator))
    loss = module.training_losses(small_batch())[0].mean()
    loss.backward()
    gradients = [each.grad for each in module.parameters() if each.grad is not None]
    return loss.item(), torch.cat([each.flatten() for each in gradients])


@cache
def _losses(quantization: Quantization | None, steps: int = 30) -> Tensor:
    """Give the loss of each step: learn two of nano's latents by heart."""
    module = LoRAStyleModule("nano", rank=8, learning_rate=1e-3, quantization=quantization)
    module.load_base()
    size, channels = module.model.unet.config["sample_size"], module.model.latent_channels
    moments = torch.randn(2, 2 * channels, size, size, generator=torch.Generator().manual_seed(0))
    moments[:, channels:] = -20.0  # hardly any variance
    captions = [f"picture {number}" for number in range(2)]
    module._prompts.remember(captions, module.encode)
    optimizer = torch.optim.AdamW(module.parameters(), lr=2e-3, fused=True)
    losses = []
    for _ in range(steps):  # of one noise and timestep each: the loss falls
        batch = {"moments": moments, "caption": captions, "index": [0, 1]}
        loss = module.training_losses(batch, number=0)[0].mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return torch.tensor(losses)
