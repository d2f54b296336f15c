"""What is counted without values is what an allocator gave."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from sdtune.estimation.memory import MemoryCount, count_memory, dtype_of
from sdtune.models.quantization import Quantization
from sdtune.techniques.base import DiffusionFineTuningModule
from sdtune.techniques.lora_style import LoRAStyleModule
from tests.techniques.every_technique import TECHNIQUES

_CAPTIONS = ["a picture 0", "a picture 1"]


@pytest.fixture(scope="module")
def count(micro_sd: Path) -> Callable[..., MemoryCount]:
    """Return a function that counts what two pictures of 256 px take, the same thing once."""

    @cache
    def count(
        name: str,
        dtype: torch.dtype = torch.float32,
        *,
        gradient_checkpointing: bool = False,
        quantization: Quantization | None = None,
    ) -> MemoryCount:
        module = TECHNIQUES[name](str(micro_sd))
        module.gradient_checkpointing = gradient_checkpointing
        module.quantization = quantization
        return count_memory(module, str(micro_sd), resolution=256, batch_size=2, dtype=dtype)

    return count


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("lora", {}),
        ("textual_inversion", {}),
        ("lora", {"gradient_checkpointing": True}),
        ("dreambooth_full", {}),
        ("lora", {"quantization": "nf4"}),
        ("lora_text_encoder", {"quantization": "int8"}),
    ],
)
def test_a_step_is_counted_as_the_allocator_saw_it(
    micro_sd: Path, count: Callable[..., MemoryCount], name: str, settings: dict[str, Any]
) -> None:
    counted = count(name, **settings)
    module = TECHNIQUES[name](str(micro_sd))
    module.gradient_checkpointing = settings.get("gradient_checkpointing", False)
    module.quantization = settings.get("quantization")
    module.load_base()
    assert counted.step == pytest.approx(_measured(module), rel=0.15)

    learned = list(module.parameters())
    assert counted.adapter == sum(4 * each.numel() for each in learned)
    assert counted.optimizer == 2 * counted.adapter
    held = [module.model.unet]
    if module.encodes_prompts_every_step:
        held.append(module.model.text_encoders)
    every = sum(each.nbytes for part in held for each in part.parameters())
    buffers = sum(each.nbytes for part in held for each in part.buffers())
    assert counted.weights == every + buffers - counted.adapter


@pytest.mark.slow
def test_half_precision_and_checkpointing_take_less(count: Callable[..., MemoryCount]) -> None:
    plain, half = count("lora"), count("lora", torch.bfloat16)
    recomputed = count("lora", gradient_checkpointing=True)
    assert half.weights == pytest.approx(plain.weights / 2, rel=0.01)
    assert half.adapter == plain.adapter
    assert 0.4 * plain.step < half.step < 0.75 * plain.step
    assert recomputed.step < 0.7 * plain.step
    assert recomputed.flops > 1.2 * plain.flops


@pytest.mark.slow
def test_what_the_base_predicts_beside_is_counted(
    micro_sd: Path, count: Callable[..., MemoryCount]
) -> None:
    plain = count("lora")
    module = LoRAStyleModule(str(micro_sd), rank=4, keep_content_above=0.85)
    kept = count_memory(module, str(micro_sd), resolution=256, batch_size=2)
    everywhere = LoRAStyleModule(str(micro_sd), rank=4, keep_content_above=1e-6)
    most = count_memory(everywhere, str(micro_sd), resolution=256, batch_size=2)
    assert kept.flops - plain.flops == pytest.approx(0.15 * (most.flops - plain.flops), rel=1e-3)
    assert most.flops > 1.2 * plain.flops
    assert kept.step == pytest.approx(plain.step, rel=0.1)  # it comes before what is kept


@pytest.mark.slow
def test_a_second_batch_finds_the_gradients_of_the_first(micro_sd: Path) -> None:
    one, two = (
        count_memory(
            TECHNIQUES["dreambooth_full"](str(micro_sd)),
            str(micro_sd),
            resolution=64,
            batch_size=1,
            accumulated=number,
        )
        for number in (1, 2)
    )
    # of few pixels, gradients are most of it: all of the first batch's are there meanwhile
    assert max(one.step, one.adapter) < two.step <= one.step + one.adapter
    assert (two.flops, two.optimizer) == (one.flops, one.optimizer)


def test_precisions() -> None:
    assert dtype_of("bf16-mixed") == torch.bfloat16
    assert dtype_of("None") == torch.float32
    with pytest.raises(ValueError, match=r"Expected `trainer.precision` to be one of"):
        dtype_of("64-true")


def _measured(module: DiffusionFineTuningModule) -> int:
    """Give the most bytes that a step had from the allocator at once."""
    batch: dict[str, Any] = {
        "moments": torch.zeros(2, 8, 32, 32),
        "caption": _CAPTIONS,
        "index": [0, 1],
    }
    if module.prior:
        batch |= {f"class_{name}": value for name, value in batch.items()}
        batch = module.prior.joined(batch)
    if not module.encodes_prompts_every_step:
        module._prompts.remember(_CAPTIONS, module.encode)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        module.training_losses(batch)[0].mean().backward()
    events = found.profiler.kineto_results.events()  # type: ignore[union-attr]
    sizes = [
        each.nbytes()
        for each in sorted(events, key=lambda each: each.start_ns())
        if each.name() == "[memory]"
    ]
    held = peak = 0
    for size in sizes:
        held += size
        peak = max(peak, held)
    return peak
