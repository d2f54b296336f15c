"""Training goes on from an adapter in any format; what contradicts the recipe is named."""

from __future__ import annotations

import pytest
import torch

from sdtune import LoRAStyleModule
from sdtune.adapters import registry
from sdtune.adapters.adapter_set import AdapterSet
from sdtune.adapters.lora import LoRAAdapter, add_lora, lora_parameters
from sdtune.adapters.verification import evaluating, prediction
from sdtune.adapters.words import TokenEmbeddingAdapter, add_token_embedding
from sdtune.models import load
from sdtune.techniques.pivotal_tuning import PivotalTuningModule
from sdtune.techniques.textual_inversion import TextualInversionModule


@pytest.fixture(scope="module")
def saved(tmp_path_factory, micro_sd):
    """A LoRA of rank 2 with alpha 3 on convolutions too, in all formats, and what it predicts."""
    model = load(micro_sd)
    add_lora(model, rank=2, alpha=3.0, target_modules=["to_q", "conv1"])
    with torch.no_grad():
        for number, parameter in enumerate(lora_parameters(model)):
            parameter += 0.1 * torch.randn(
                parameter.shape, generator=torch.Generator().manual_seed(number)
            )
    folder = tmp_path_factory.mktemp("adapter")
    adapter = LoRAAdapter.from_model(model)
    AdapterSet(adapter).save(folder)
    with evaluating(model):
        return folder, adapter, prediction(model)


@pytest.mark.parametrize(
    "name", ["pytorch_lora_weights.safetensors", "kohya_lora.safetensors", "peft"]
)
def test_training_goes_on_from_every_format(saved, micro_sd, name):
    folder, adapter, expected = saved
    module = LoRAStyleModule(base=str(micro_sd), adapter=str(folder / name))
    assert module.problems() == []
    module.load_base()
    [started] = module.adapter().adapters
    assert (started.configs["unet"].r, started.configs["unet"].lora_alpha) == (2, 3.0)
    for key, tensor in adapter.weights["unet"].items():
        torch.testing.assert_close(started.weights["unet"][key], tensor, rtol=1.2e-7, atol=0)
    learning = {id(each) for group in module.groups() for each in group.parameters}
    assert learning == {id(each) for each in lora_parameters(module.model)}
    assert all(each.requires_grad for each in lora_parameters(module.model))
    with evaluating(module.model):
        torch.testing.assert_close(prediction(module.model), expected, rtol=1e-5, atol=1e-6)
    metadata = module.adapter_metadata()
    assert (metadata["sdtune.rank"], metadata["sdtune.alpha"]) == ("2", "3.0")
    assert len(metadata["sdtune.adapter_sha256"]) == 64
    assert str(folder) not in "".join(metadata.values())


def test_what_the_recipe_says_otherwise_is_refused_by_name(saved, micro_sd):
    folder, _, _ = saved
    module = LoRAStyleModule(
        base=str(micro_sd),
        adapter=str(folder),
        rank=4,
        alpha=2.0,
        use_dora=True,
        target_modules=["to_k", "k_proj"],
        text_encoder_learning_rate=1e-5,
    )
    with pytest.raises(ValueError, match=r"`rank` to be 2, as in .*, but got 4") as caught:
        module.load_base()
    assert "\n".join(f"- {each}" for each in module.problems()) == str(caught.value)
    for name in ("alpha", "use_dora", "target_modules", "text_encoder_learning_rate"):
        assert f"Expected `{name}` to be " in str(caught.value)
    agrees = LoRAStyleModule(base=str(micro_sd), adapter=str(folder), rank=2, alpha=3.0)
    agrees.load_base()


def test_a_file_that_does_not_fit_is_found_before_the_weights(saved, tiny_sd, tmp_path):
    folder, _, _ = saved
    [problem] = LoRAStyleModule(base=str(tiny_sd), adapter=str(folder)).problems()
    assert f"to fit the architecture of {tiny_sd}, but" in problem
    [problem] = LoRAStyleModule(base=str(tiny_sd), adapter=str(tmp_path / "none")).problems()
    assert "there is neither such a file nor a folder" in problem


def test_words_go_on_and_what_nothing_learns_is_refused(saved, micro_sd, tmp_path):
    folder, _, _ = saved
    vectors = torch.randn(2, 16, generator=torch.Generator().manual_seed(0))
    AdapterSet(TokenEmbeddingAdapter("<erica>", [vectors])).save(tmp_path)
    words = {"placeholder_token": "<erica>", "initializer_token": "c", "base": str(micro_sd)}
    module = TextualInversionModule(**words, num_vectors=2, adapter=str(tmp_path))
    module.load_base()
    assert torch.equal(module.adapter().adapters[0].vectors[0], vectors)
    for wrong, message in (
        ({**words, "num_vectors": 1}, "Expected `num_vectors` to be 2"),
        ({**words, "placeholder_token": "<other>"}, "`placeholder_token` to be `<erica>`"),
    ):
        with pytest.raises(ValueError, match=message):
            TextualInversionModule(**wrong, adapter=str(tmp_path)).load_base()
    with pytest.raises(ValueError, match="nothing does that could go on from LoRA in"):
        TextualInversionModule(**words, adapter=str(folder)).load_base()
    with pytest.raises(ValueError, match="go on from learned words in"):
        LoRAStyleModule(base=str(micro_sd), adapter=str(tmp_path)).load_base()


def test_a_word_and_its_lora_go_on_together(micro_sd, tmp_path):
    model = load(micro_sd)
    [rows] = add_token_embedding(model, "<erica>", "c")
    add_lora(model, rank=2, alpha=1.0)
    with torch.no_grad():
        for parameter in (rows, *lora_parameters(model)):
            parameter += 0.1
    adapter = AdapterSet(TokenEmbeddingAdapter.from_model(model), LoRAAdapter.from_model(model))
    adapter.save(tmp_path)
    module = PivotalTuningModule("<erica>", "c", base=str(micro_sd), adapter=str(tmp_path))
    module.load_base()
    word, lora = module.adapter().adapters
    assert torch.equal(word.vectors[0], rows.detach())
    for key, tensor in adapter.adapters[1].weights["unet"].items():
        assert torch.equal(lora.weights["unet"][key], tensor)
    assert registry.read_words([tmp_path / "learned_embeds.safetensors"])


def test_layers_of_a_file_that_do_not_reach_the_unet_stay_as_they_are(micro_sd, tmp_path):
    model = load(micro_sd)
    add_lora(model, rank=2, alpha=2.0, text_encoder=True)
    with torch.no_grad():
        for parameter in lora_parameters(model):
            parameter += 0.1
    every = LoRAAdapter.from_model(model)
    AdapterSet(every).save(tmp_path)
    path = tmp_path / "pytorch_lora_weights.safetensors"
    module = LoRAStyleModule(
        base=str(micro_sd), adapter=str(path), clip_skip=2, text_encoder_learning_rate=1e-4
    )
    module.load_base()
    matrices = lora_parameters(module.model.text_encoders)
    assert 0 < sum(each.requires_grad for each in matrices) < len(matrices)
    module.encode(["a disc"]).encoder_hidden_states.sum().backward()
    _, texts = module.groups()
    assert {id(each) for each in texts.parameters} == {
        id(each) for each in matrices if each.grad is not None
    }
    [started] = module.adapter().adapters
    assert started.weights["text_encoder"].keys() == every.weights["text_encoder"].keys()
