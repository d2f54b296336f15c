from pathlib import Path

import pytest
import torch

from sdtune.adapters.lora.layers import lora_layers
from sdtune.bench.bare_loop import BareLoop
from sdtune.bench.paired_timer import PairedTimer
from sdtune.bench.reference_loop import ReferenceLoop, has_reference
from sdtune.models.quantization import quantized_layers
from sdtune.techniques.dreambooth import DreamBoothModule
from sdtune.techniques.textual_inversion import TextualInversionModule


def batch() -> dict:
    moments = torch.randn(2, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    instance = {"moments": moments, "caption": ["a cat", "a cat"], "index": [0, 1]}
    return {**instance, "class_moments": moments, "class_caption": ["", ""]}


def lora(base: Path) -> DreamBoothModule:
    module = DreamBoothModule(
        str(base), rank=2, learning_rate=1e-2, text_encoder_learning_rate=1e-2
    )
    module.load_base()
    return module


def test_a_bare_step_trains_what_the_technique_trains(micro_sd):
    module = DreamBoothModule(str(micro_sd), rank=2, learning_rate=1e-2)
    loop = BareLoop(module)
    before = {name: value.detach().clone() for name, value in module.named_parameters()}
    loop.step(loop.prepare(batch()))
    moved = {name for name, value in module.named_parameters() if not value.equal(before[name])}
    assert moved
    assert moved <= set(module.state_dict())


def test_the_reference_trains_as_many_weights_in_the_same_modules(micro_sd):
    module = lora(micro_sd)
    loop = ReferenceLoop(module, "32-true", 64)
    assert list(lora_layers(loop.model)) == list(lora_layers(module.model))
    ours = sum(each.numel() for each in module.parameters())
    assert sum(each.numel() for each in loop.learned) == ours
    before = [each.detach().clone() for each in loop.learned]
    loop.step(loop.prepare(batch()))
    moved = [not now.equal(then) for now, then in zip(loop.learned, before, strict=True)]
    assert any(moved)  # the factors that begin at zero
    assert loop.model.unet.conv_in.weight.grad is None


def test_the_reference_puts_all_rows_but_the_word_back(micro_sd):
    module = TextualInversionModule("<cat>", "c", base=str(micro_sd))
    module.load_base()
    loop = ReferenceLoop(module, "32-true", 64)
    loop.step(loop.prepare(batch()))
    assert not loop.table[-1].equal(loop.initial[-1])
    assert loop.table[:-1].equal(loop.initial[:-1])


def test_a_whole_unet_has_no_reference(micro_sd):
    module = DreamBoothModule(
        str(micro_sd), full_finetune=True, text_encoder_learning_rate=None, learning_rate=1e-5
    )
    assert not has_reference(module)
    assert has_reference(lora(micro_sd))


def test_a_ratio_is_the_median_over_rounds_and_more_is_faster():
    timer = PairedTimer({"bare": lambda _: None})
    timer.seconds = {"sdtune": [1.0, 2.0, 9.0], "bare": [2.0, 2.0, 9.9]}
    assert timer.ratio("bare") == pytest.approx(1.1)
    assert timer.milliseconds("sdtune") == 2000


def test_a_loop_without_room_is_left_out_and_the_others_go_on():
    class Loop:
        def prepare(self, batch):
            return batch

        def step(self, inputs):
            pass

    def fails(_):
        raise torch.OutOfMemoryError

    timer = PairedTimer({"bare": lambda _: Loop(), "reference": fails}, rounds=1)
    timer.on_train_start(None, None)
    for step in range(1, timer.max_steps + 1):
        trainer = type("Trainer", (), {"global_step": step})
        timer.on_train_batch_end(trainer, None, None, {}, step)
    assert timer.without_room == ["reference"]
    assert {name: len(found) for name, found in timer.seconds.items()} == {"sdtune": 1, "bare": 1}


def test_the_reference_keeps_its_base_in_as_few_bits(micro_sd):
    module = DreamBoothModule(str(micro_sd), rank=2)
    module.load_base()
    loop = ReferenceLoop(module, "32-true", 64, quantization="nf4")
    assert [*quantized_layers(loop.model.unet)] == ["nf4"]
    assert list(lora_layers(loop.model)) == list(lora_layers(module.model))
    loop.step(loop.prepare(batch()))
