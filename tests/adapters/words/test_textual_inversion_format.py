"""learned_embeds.safetensors: diffusers and A1111 read it, and `verify` notices what is wrong."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from diffusers.loaders.textual_inversion import TEXT_INVERSION_NAME_SAFE
from safetensors.torch import load_file, save_file

from sdtune.adapters.adapter_set import AdapterSet
from sdtune.adapters.lora import LoRAAdapter, add_lora
from sdtune.adapters.verification import AdapterVerificationError
from sdtune.adapters.words import TokenEmbeddingAdapter, add_token_embedding
from sdtune.adapters.words.textual_inversion_format import TextualInversionFormat
from sdtune.files import tensor_file
from sdtune.models import StableDiffusion, load
from tests.fast_part import some_fast
from tests.models.families.toy_xl import ToyXLFamily, make_toy_xl, registered

FORMAT = TextualInversionFormat()


@pytest.fixture
def learned(model: StableDiffusion) -> StableDiffusion:
    [rows] = add_token_embedding(model, "<erica>", "c", num_vectors=3)
    rows.data += torch.randn(rows.shape, generator=torch.Generator().manual_seed(0))
    return model


def _save(model: StableDiffusion, folder: Path) -> Path:
    return AdapterSet(TokenEmbeddingAdapter.from_model(model)).save(folder, {"sdtune.steps": "2"})


def test_the_file_is_as_diffusers_writes_it(learned: StableDiffusion, tmp_path: Path) -> None:
    path = _save(learned, tmp_path)
    assert path.name == TEXT_INVERSION_NAME_SAFE
    [(token, vectors)] = load_file(path).items()
    assert token == "<erica>"
    assert vectors.shape == (3, 16)
    assert vectors.dtype == torch.float32
    header = tensor_file.read_metadata(path)
    assert header["modelspec.trigger_phrase"] == "<erica>"
    assert header["sdtune.steps"] == "2"


@pytest.mark.parametrize("given", ["folder", "file"])
def test_diffusers_reader_encodes_the_same(
    given: str, base: StableDiffusion, learned: StableDiffusion, tmp_path: Path
) -> None:
    path = _save(learned, tmp_path)
    pipeline = copy.deepcopy(base).pipeline()
    pipeline.load_textual_inversion(str(path if given == "file" else tmp_path))
    with torch.no_grad():
        read, _ = pipeline.encode_prompt("one <erica> here", "cpu", 1, False)
        expected = learned.encode_prompts(["one <erica> here"]).encoder_hidden_states
        # the model in training is a pipeline as well
        trained, _ = learned.pipeline().encode_prompt("one <erica> here", "cpu", 1, False)
    torch.testing.assert_close(read, expected, rtol=0, atol=0)
    torch.testing.assert_close(trained, expected, rtol=0, atol=0)


def test_a1111s_rules_find_the_vectors(learned: StableDiffusion, tmp_path: Path) -> None:
    """modules/textual_inversion: one tensor, (n, d) or (d,), named by the file's stem."""
    data = load_file(_save(learned, tmp_path))
    assert "string_to_param" not in data
    assert not {"clip_g", "clip_l"} & data.keys()
    assert len(data) == 1
    embedding = next(iter(data.values()))
    assert embedding.ndim == 2
    assert (embedding.shape[0], embedding.shape[-1]) == (3, 16)


def test_verify_passes_and_changes_nothing(
    base: StableDiffusion, learned: StableDiffusion, tmp_path: Path
) -> None:
    path = _save(learned, tmp_path)
    learned.train()
    names, modes = list(learned.state_dict()), [each.training for each in learned.modules()]
    size, random_state = len(learned.tokenizers[0]), torch.get_rng_state()
    AdapterSet(TokenEmbeddingAdapter.from_model(learned)).verify(path, learned)
    assert list(learned.state_dict()) == names
    assert [each.training for each in learned.modules()] == modes
    assert len(learned.tokenizers[0]) == size
    assert torch.equal(torch.get_rng_state(), random_state)
    embedding = learned.text_encoders[0].get_input_embeddings()
    assert embedding.frozen_table.weight.equal(base.text_encoders[0].get_input_embeddings().weight)


@pytest.mark.parametrize("dtype", some_fast([torch.float32, torch.bfloat16], [torch.bfloat16]))
def test_verify_holds_beside_a_lora_and_in_half_precision(
    dtype: torch.dtype, model: StableDiffusion, tmp_path: Path, train
) -> None:
    model.text_encoders.to(dtype)
    model.unet.to(dtype)
    add_lora(model, rank=2, alpha=1.0, text_encoder=True)
    [rows] = add_token_embedding(model, "<erica>", "c")
    rows.data += 0.3
    train(model)
    AdapterSet(TokenEmbeddingAdapter.from_model(model)).verify(_save(model, tmp_path), model)
    lora = AdapterSet(LoRAAdapter.from_model(model))
    lora.verify(lora.save(tmp_path), model)


def test_verify_notices_other_vectors_and_another_word(
    learned: StableDiffusion, tmp_path: Path
) -> None:
    adapter = TokenEmbeddingAdapter.from_model(learned)
    other = TokenEmbeddingAdapter("<erica>", [adapter.vectors[0] + 1e-3])
    with pytest.raises(AdapterVerificationError, match="the 3 trained vectors of `<erica>`"):
        AdapterSet(adapter).verify(AdapterSet(other).save(tmp_path), learned)
    other = TokenEmbeddingAdapter("<two>", adapter.vectors)
    with pytest.raises(AdapterVerificationError, match="the 3 trained vectors"):
        AdapterSet(adapter).verify(AdapterSet(other).save(tmp_path), learned)


def test_verify_notices_a_reader_that_differs(
    learned: StableDiffusion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers import StableDiffusionPipeline

    path = _save(learned, tmp_path)
    monkeypatch.setattr(StableDiffusionPipeline, "load_textual_inversion", lambda *_, **__: None)
    with pytest.raises(AdapterVerificationError, match="text encoder's output differs by"):
        AdapterSet(TokenEmbeddingAdapter.from_model(learned)).verify(path, learned)


def test_loading_gives_the_bundle_the_word_too(
    base: StableDiffusion, learned: StableDiffusion, tmp_path: Path
) -> None:
    other = copy.deepcopy(base)
    state = torch.get_rng_state()
    FORMAT.load(other, _save(learned, tmp_path))
    assert torch.equal(torch.get_rng_state(), state)
    with torch.no_grad():
        expected, read = (
            each.encode_prompts(["one <erica> here"]).encoder_hidden_states
            for each in (learned, other)
        )
    torch.testing.assert_close(read, expected, rtol=0, atol=0)
    assert not any(parameter.requires_grad for parameter in other.parameters())


def test_vectors_of_another_width_are_refused(model: StableDiffusion, tmp_path: Path) -> None:
    path = AdapterSet(TokenEmbeddingAdapter("<erica>", [torch.zeros(1, 768)])).save(tmp_path)
    with pytest.raises(ValueError, match="of width 16, but it holds vectors of 768"):
        FORMAT.load(model, path)


def test_a_lora_is_no_word(tmp_path: Path) -> None:
    path = tmp_path / "lora.safetensors"
    save_file({"a": torch.zeros(1, 2), "b": torch.zeros(1, 2)}, path)
    with pytest.raises(ValueError, match="to hold one word, but it holds `a`, `b`"):
        FORMAT.read(path)
    with pytest.raises(FileNotFoundError):
        FORMAT.read(tmp_path / "nowhere.safetensors")


def test_a_word_for_two_text_encoders(tmp_path: Path) -> None:
    with registered(ToyXLFamily()):
        base = load(make_toy_xl(tmp_path / "xl"))
    model = copy.deepcopy(base)
    for number, rows in enumerate(add_token_embedding(model, "<erica>", "c", num_vectors=2)):
        rows.data += torch.randn(rows.shape, generator=torch.Generator().manual_seed(number))
    adapter = TokenEmbeddingAdapter.from_model(model)
    path = AdapterSet(adapter).save(tmp_path / "word")
    tensors = load_file(path)
    assert {name: tuple(each.shape) for name, each in tensors.items()} == {
        "clip_l": (2, 16), "clip_g": (2, 32),
    }  # fmt: skip
    assert tensor_file.read_metadata(path)["modelspec.trigger_phrase"] == "<erica>"
    assert AdapterSet(adapter).verify(path, model) < 1e-6
    assert FORMAT.read(path).placeholder_token == "<erica>"
    # as diffusers' documentation says to read such files
    pipeline = copy.deepcopy(base).pipeline()
    use = FORMAT.use("diffusers", path, "mine")
    exec("\n".join([*use.imports, *use.lines]), {"pipeline": pipeline})
    with torch.no_grad():
        read = pipeline.encode_prompt(
            prompt="one <erica> here", device="cpu", do_classifier_free_guidance=False
        )[0]
        expected = model.encode_prompts(["one <erica> here"]).encoder_hidden_states
    torch.testing.assert_close(read, expected, rtol=0, atol=1e-6)
