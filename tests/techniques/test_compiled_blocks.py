"""Compiled blocks do what they do uncompiled, whatever is switched, copied or resized."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.utils import counters

from sdtune.adapters.lora import lora_parameters
from sdtune.adapters.lora.layers import lora_layers
from sdtune.adapters.verification import frozen_copy
from sdtune.techniques.compiled_blocks import compile_blocks, compiled_blocks
from sdtune.techniques.lora_style import LoRAStyleModule
from sdtune.techniques.multi_concept import MultiConceptModule
from tests.techniques.small_lora import small_module


@pytest.fixture
def module(micro_sd: Path) -> Iterator[LoRAStyleModule]:
    torch._dynamo.reset()
    # where convolutions learn, all blocks' inputs have gradients: one kind of call is traced
    module = small_module(micro_sd, target_modules="all")
    for each in lora_parameters(module.model.unet):  # fresh ones change nothing
        each.data.normal_(generator=torch.Generator().manual_seed(each.numel()))
    yield module
    torch._dynamo.reset()


def prediction(module: Any, size: tuple[int, int, int] = (2, 8, 8)) -> Tensor:
    """Predict with gradients, as a step does."""
    count, height, width = size
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(count, 4, height, width, generator=generator)
    hidden_states = torch.randn(count, 77, 16, generator=generator)
    timesteps = torch.arange(count) * 100
    predicted: Tensor = module.model.unet(
        latents, timesteps, encoder_hidden_states=hidden_states
    ).sample
    return predicted


def compile_middle(module: Any, *kinds: str) -> None:
    """Compile the blocks in the middle: what holds for all holds for them, and is traced once."""
    compile_blocks(module.model.unet.mid_block, kinds or ["BasicTransformerBlock"], "eager")


def graphs() -> int:
    return int(counters["stats"]["unique_graphs"])


@pytest.mark.slow
def test_the_same_is_computed_and_no_name_changes_and_copies_are_not_compiled(module):
    expected, names = prediction(module), list(module.state_dict())
    modules = [name for name, _ in module.named_modules()]
    blocks = compile_blocks(module.model.unet, backend="eager")
    before = graphs()
    torch.testing.assert_close(prediction(module), expected)
    assert graphs() > before
    assert blocks == len(compiled_blocks(module)) == 2
    assert list(module.state_dict()) == names
    assert [name for name, _ in module.named_modules()] == modules
    assert compile_blocks(module.model.unet, backend="eager") == 0
    read = small_module(Path(module.base), target_modules="all")
    read.model = frozen_copy(module.model)
    for copied in (copy.deepcopy(module), read):
        assert not compiled_blocks(copied)
        torch.testing.assert_close(prediction(copied), expected)
    assert len(compiled_blocks(module)) == 2


def test_without_gradients_blocks_are_as_they_were(module):
    compile_blocks(module.model.unet, backend="eager")
    before = graphs()
    with torch.no_grad():
        prediction(module)
    with torch.inference_mode():
        prediction(module)
    assert graphs() == before


@pytest.mark.slow
def test_what_is_switched_off_or_scaled_is_so_in_compiled_blocks(module):
    plain = prediction(module)
    with module.untuned():
        base = prediction(module)
    compile_middle(module)
    torch.testing.assert_close(prediction(module), plain)
    with module.untuned():
        torch.testing.assert_close(prediction(module), base)
    torch.testing.assert_close(prediction(module), plain)
    for layer in lora_layers(module.model.unet).values():
        layer.scaling["default"] = 0.0
    torch.testing.assert_close(prediction(module), base)
    assert not torch.allclose(plain, base)


@pytest.mark.slow
def test_keys_and_values_are_switched_off_in_compiled_blocks(micro_sd):
    torch._dynamo.reset()
    module = MultiConceptModule(["<disc>"], ["c"], str(micro_sd), prior_loss_weight=0)
    module.load_base()
    base = prediction(module)
    for group in module.groups():
        if group.name == "unet":
            for each in group.parameters:
                each.data += 1.0
    tuned = prediction(module)
    compile_middle(module)
    torch.testing.assert_close(prediction(module), tuned)
    with module.untuned():
        torch.testing.assert_close(prediction(module), base)
    assert not torch.allclose(tuned, base)


@pytest.mark.slow
def test_sizes_that_vary_are_compiled_twice_and_no_more(module):
    sizes = [(2, 8, 8), (2, 16, 8), (2, 8, 24), (2, 24, 16), (2, 8, 8)]
    expected = [prediction(module, size) for size in sizes]
    compile_middle(module, "BasicTransformerBlock", "ResnetBlock2D")
    found = []
    for size, each in zip(sizes, expected, strict=True):
        torch.testing.assert_close(prediction(module, size), each)
        found.append(graphs())
    assert found[0] < found[1] == found[2] == found[3] == found[4]


@pytest.mark.slow
def test_nothing_is_compiled_while_a_pass_is_recorded(module, monkeypatch):
    """Which is where autocast keeps no casts, and where a compiler would break it off."""
    compile_middle(module)
    with torch.autocast("cpu", torch.bfloat16):
        expected = prediction(module)
    before = graphs()
    for name in ("is_initialized", "is_current_stream_capturing"):
        monkeypatch.setattr(torch.cuda, name, lambda: True)
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        torch.testing.assert_close(prediction(module), expected)
        assert not torch.is_autocast_cache_enabled()
    new = prediction(module, (3, 8, 8))
    assert graphs() == before
    torch.testing.assert_close(new, prediction(copy.deepcopy(module), (3, 8, 8)))


@pytest.mark.slow
def test_a_limit_that_is_met_is_said_and_training_goes_on(micro_sd):
    torch._dynamo.reset()
    module = small_module(micro_sd)  # two kinds of calls: the first block's input has no gradient
    expected = prediction(module)
    compile_blocks(module.model.unet, backend="eager")
    with torch._dynamo.config.patch(recompile_limit=1):
        with pytest.warns(UserWarning, match="more than 1 ways, and is not compiled any further"):
            torch.testing.assert_close(prediction(module), expected)
        torch.testing.assert_close(prediction(module), expected)


def test_what_cannot_be_compiled_says_so(module):
    def broken(graph: Any, inputs: Any) -> Any:
        raise ValueError("no such instruction")

    compile_blocks(module.model.unet, backend=broken)
    with pytest.raises(RuntimeError, match=r"could not be compiled: .*`model.compile` false"):
        prediction(module)


def test_a_unet_without_such_blocks_is_refused(module):
    with pytest.raises(ValueError, match="but it has no NoBlock"):
        compile_blocks(module.model.unet, ["BasicTransformerBlock", "NoBlock"])


@pytest.mark.slow
def test_gradients_are_the_same_with_dropout_and_checkpointing(micro_sd):
    torch._dynamo.reset()
    gradients = []
    for is_compiled in (False, True):
        module = small_module(
            micro_sd, target_modules="all", gradient_checkpointing=True, dropout=0.5
        )
        if is_compiled:
            assert compile_blocks(module.model.unet, backend="aot_eager")
        torch.manual_seed(1)
        prediction(module).square().mean().backward()
        gradients.append({name: each.grad for name, each in module.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-3, atol=1e-6)


def test_a_higher_limit_of_the_user_stays(module):
    with torch._dynamo.config.patch(recompile_limit=1000):
        compile_blocks(module.model.unet, backend="eager")
        assert torch._dynamo.config.recompile_limit == 1000
