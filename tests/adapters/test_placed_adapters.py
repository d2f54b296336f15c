from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sdtune.adapters.placed_adapters import PlacedAdapters
from sdtune.adapters.whole_model import merge_into_base
from tests.fast_part import some_fast

KINDS = ("LoRA", "DoRA", "LoHa", "LoKr", "keys and values", "whole UNet")


@pytest.mark.parametrize("kind", KINDS)
def test_whole_it_is_what_was_trained_and_at_nothing_the_base(kind, tuned, base, predict) -> None:
    files, model = tuned(kind)
    placed = PlacedAdapters(base, [files])
    untuned, trained = predict(base), predict(model)
    assert not torch.allclose(trained, untuned, atol=1e-3)
    assert torch.equal(predict(placed.model), trained)
    placed.set_strengths([0.0])
    assert torch.equal(predict(placed.model), untuned)
    placed.set_strengths([1.0])
    assert torch.equal(predict(placed.model), trained)


@pytest.mark.parametrize("kind", some_fast(KINDS, ["LoRA", "whole UNet"]))
def test_a_little_of_it_is_a_little_of_the_way(kind, tuned, base, predict) -> None:
    """Near the base the output moves in proportion to the strength, and nothing is loaded."""
    files, _ = tuned(kind)
    placed = PlacedAdapters(base, [files])
    untuned = predict(base)
    for each in files:
        each.unlink()
    changes = []
    for strength in (0.01, 0.02):
        placed.set_strengths([strength])
        changes.append(predict(placed.model) - untuned)
    assert changes[0].abs().max() > 0
    assert (changes[1] - 2 * changes[0]).norm() < 0.1 * changes[1].norm()
    assert not any(parameter.requires_grad for parameter in placed.model.parameters())


@pytest.mark.parametrize("other", some_fast(KINDS, ["whole UNet"]))
def test_a_strength_of_nothing_beside_another_is_as_if_it_were_alone(
    other, tuned, base, predict
) -> None:
    files, model = tuned("LoRA", 0)
    placed = PlacedAdapters(base, [files, tuned(other, 1)[0]])
    both = predict(placed.model)
    placed.set_strengths([1.0, 0.0])
    assert torch.equal(predict(placed.model), predict(model))
    placed.set_strengths([0.0, 1.0])
    only_other = predict(placed.model)
    assert torch.equal(only_other, predict(tuned(other, 1)[1]))
    assert not torch.allclose(both, only_other, atol=1e-3)
    assert not torch.allclose(both, predict(model), atol=1e-3)


def test_changes_of_two_are_added(tuned, base) -> None:
    """One layer on its own: what two do together is the sum of what each does."""
    files = [tuned("LoRA", seed)[0] for seed in (0, 1)]
    placed = PlacedAdapters(base, files)
    name = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    layer, own = placed.model.unet.get_submodule(name), base.unet.get_submodule(name)
    x = torch.randn(3, own.in_features, generator=torch.Generator().manual_seed(2))
    changes = {}
    with torch.no_grad():
        for strengths in ((1.0, 0.0), (0.0, 1.0), (0.5, -2.0)):
            placed.set_strengths(strengths)
            changes[strengths] = layer(x) - own(x)
    expected = 0.5 * changes[1.0, 0.0] - 2 * changes[0.0, 1.0]
    torch.testing.assert_close(changes[0.5, -2.0], expected, atol=1e-5, rtol=1e-4)


SEVERAL = [
    "LoRA + DoRA",
    "DoRA + DoRA",
    "DoRA + LoKr",
    "DoRA + whole UNet",
    "LoKr + LoKr",
    "whole UNet + whole UNet",
    # others are in these: of one kind twice, beside each other and around each other
    "LoRA + LoHa + LoRA",
    "LoHa + LoKr + LoHa",
    "whole UNet + LoKr + LoHa + LoRA + DoRA",
]


def _targets(kind: str) -> tuple[str, ...]:
    """A convolution too, which not every kind of PEFT's layers can have in it."""
    return ("to_q", "conv1", *(["q_proj"] if kind == "LoRA" else []))


@pytest.mark.parametrize("several", some_fast(SEVERAL, ["LoRA + DoRA", "LoRA + LoHa + LoRA"]))
def test_in_any_order_several_do_what_they_do_worked_into_the_base(
    several, tuned, base, predict, micro_sd: Path
) -> None:
    kinds = several.split(" + ")
    seeds = [kinds[:number].count(kind) for number, kind in enumerate(kinds)]
    files = [tuned(kind, s, _targets(kind))[0] for kind, s in zip(kinds, seeds, strict=True)]
    strengths = [0.5, -1.0, 1.0, 0.7, -0.3][: len(kinds)]
    merged = merge_into_base(micro_sd, [each[-1] for each in files], strengths)
    expected, untuned = predict(merged), predict(base)
    for step in (1, -1):
        placed = PlacedAdapters(base, files[::step])
        placed.set_strengths([0.0] * len(files))
        assert torch.equal(predict(placed.model), untuned)
        placed.set_strengths(strengths[::step])
        difference = predict(placed.model) - expected
        assert difference.norm() < 1e-5 * expected.norm()


@pytest.mark.parametrize("other", ["LoRA", "whole UNet"])
def test_a_dora_changes_the_same_beside_another(other, tuned, base) -> None:
    """One convolution on its own: magnitudes are of the base's own outputs."""
    kinds = (other, "DoRA")
    files = [tuned(kind, seed, _targets(kind))[0] for seed, kind in enumerate(kinds)]
    placed = PlacedAdapters(base, files)
    name = "mid_block.resnets.0.conv1"
    layer, own = placed.model.unet.get_submodule(name), base.unet.get_submodule(name)
    x = torch.randn(1, own.in_channels, 4, 4, generator=torch.Generator().manual_seed(2))
    changes = []
    with torch.no_grad():
        for strengths in ((1.0, 0.0), (0.0, 1.0), (1.0, 1.0)):
            placed.set_strengths(strengths)
            changes.append(layer(x) - own(x))
    assert changes[1].norm() > 0.01
    torch.testing.assert_close(changes[2], changes[0] + changes[1], atol=1e-5, rtol=1e-4)


def test_weights_tuned_in_full_are_mixed(tuned, base) -> None:
    models = [tuned("whole UNet", seed) for seed in (0, 1)]
    placed = PlacedAdapters(base, [files for files, _ in models])
    placed.set_strengths([0.25, 0.5])
    own, mixed = base.unet.conv_in.weight, placed.model.unet.conv_in.weight
    one, two = (model.unet.conv_in.weight for _, model in models)
    torch.testing.assert_close(mixed, own + 0.25 * (one - own) + 0.5 * (two - own))


def test_words_of_two_files_are_both_there(tuned, base) -> None:
    models = [tuned("word", seed) for seed in (0, 1)]
    placed = PlacedAdapters(base, [files for files, _ in models])
    for number, (_, model) in enumerate(models):
        prompt = [f"a photo of <word{number}>"]
        found = placed.model.encode_prompts(prompt).encoder_hidden_states
        assert torch.equal(found, model.encode_prompts(prompt).encoder_hidden_states)
    with pytest.raises(ValueError, match=r"to be 1, but got 0\.5: learned words are either in"):
        placed.set_strengths([1.0, 0.5])


def test_the_base_is_left_as_it_is(tuned, base, predict) -> None:
    before, names = predict(base), [name for name, _ in base.named_modules()]
    every = [tuned(kind)[0] for kind in ("LoRA", "keys and values", "word")]
    PlacedAdapters(base, every).set_strengths([0.3, 0.3, 1.0])
    assert torch.equal(predict(base), before)
    assert [name for name, _ in base.named_modules()] == names


def test_strengths_are_checked(tuned, base) -> None:
    placed = PlacedAdapters(base, [tuned("LoRA")[0]])
    for wrong in ([], [1.0, 1.0], [float("nan")]):
        with pytest.raises(ValueError, match="a finite strength for each of 1 adapters"):
            placed.set_strengths(wrong)
