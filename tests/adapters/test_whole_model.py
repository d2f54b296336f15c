from __future__ import annotations

import copy
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import DDPMScheduler, StableDiffusionPipeline
from safetensors import safe_open
from safetensors.torch import save_file

from sdtune.adapters.adapter_set import AdapterSet
from sdtune.adapters.keys_values import CrossAttentionAdapter, add_tuned_projections
from sdtune.adapters.lora import LoRAAdapter, add_lora, lora_layers
from sdtune.adapters.lora.layers import ADAPTER_NAME
from sdtune.adapters.whole_model import merge_into_base, write_whole_model
from sdtune.adapters.words import TokenEmbeddingAdapter, add_token_embedding
from sdtune.models import StableDiffusion, load, single_file


@pytest.fixture(scope="module")
def tiny(tiny_sd: Path) -> StableDiffusion:
    """Of Stable Diffusion 1's blocks, which a file in the original layout has."""
    return load(tiny_sd)


@pytest.fixture
def tiny_model(tiny: StableDiffusion) -> StableDiffusion:
    """One of the test's own."""
    return copy.deepcopy(tiny)


@pytest.fixture
def lora(tiny_model, train, tmp_path: Path) -> Path:
    """A LoRA; the model keeps it."""
    targets = ["to_q", "conv1", "fc1"]
    add_lora(tiny_model, rank=3, alpha=0.7, target_modules=targets, text_encoder=True)
    train(tiny_model)
    AdapterSet(LoRAAdapter.from_model(tiny_model)).save(tmp_path / "lora")
    return tmp_path / "lora"


@pytest.mark.slow
def test_the_model_does_what_base_and_adapter_do(
    tiny_model, tiny, lora: Path, tiny_sd: Path, predict
) -> None:
    merged = merge_into_base(tiny_sd, [lora])
    assert not lora_layers(merged)
    torch.testing.assert_close(predict(merged), predict(tiny_model.eval()), rtol=1e-4, atol=1e-4)
    twice = merge_into_base(tiny_sd, [lora, lora], [0.25, 0.5])
    for layer in lora_layers(tiny_model).values():
        layer.scaling[ADAPTER_NAME] *= 0.75
    torch.testing.assert_close(predict(twice), predict(tiny_model.eval()), rtol=1e-4, atol=1e-4)
    assert (predict(tiny) - predict(merged)).abs().max() > 1e-2


@pytest.mark.slow
def test_a_folder_opens_in_diffusers(lora: Path, tiny_sd: Path, tmp_path: Path) -> None:
    merged = merge_into_base(tiny_sd, [lora])
    write_whole_model(merged, tiny_sd, tmp_path / "whole")
    pipeline = StableDiffusionPipeline.from_pretrained(tmp_path / "whole", safety_checker=None)
    state = merged.unet.state_dict()
    assert all(torch.equal(each, state[n]) for n, each in pipeline.unet.state_dict().items())
    with safe_open(tmp_path / "whole" / "text_encoder" / "model.safetensors", "pt") as file:
        # as transformers before 5.6 names them, which would find none else
        assert all(name.startswith("text_model.") for name in set(file.keys()))


@pytest.mark.slow
def test_a_file_in_the_original_layout_is_read_back(
    lora: Path, tiny_sd: Path, tmp_path: Path, predict, caplog
) -> None:
    merged = merge_into_base(tiny_sd, [lora])
    expected = predict(merged)
    path = tmp_path / "whole.safetensors"
    write_whole_model(merged, tiny_sd, path, torch.float16)
    assert "whole.safetensors is of a size of its own" in caplog.text
    caplog.clear()
    with safe_open(path, "pt") as file:
        assert file.metadata()["modelspec.prediction_type"] == "epsilon"
        names = set(file.keys())
        assert {file.get_slice(name).get_dtype() for name in names} == {"F16"}
    assert "cond_stage_model.transformer.text_model.final_layer_norm.bias" in names
    again = predict(load(path, config=tiny_sd))
    assert 0 < (again - expected).norm() / expected.norm() < 4e-3
    write_whole_model(merge_into_base(path_with_config(path, tiny_sd), [lora]), path, path)
    assert "of a size of its own" not in caplog.text


def path_with_config(path: Path, folder: Path) -> Path:
    """Put the configuration where a file of an unknown size looks for it."""
    shutil.copytree(folder, path.with_suffix(""), ignore=shutil.ignore_patterns("*.safetensors"))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tiny_sd", "tiny_xl"])
def test_a_file_of_a_model_trained_up_to_pure_noise_says_so(
    kind: str, request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = request.getfixturevalue(kind)
    config = shutil.copytree(
        base, tmp_path / "config", ignore=shutil.ignore_patterns("*.safetensors")
    )
    model = load(base)
    schedule = {**model.noise_scheduler.config, "prediction_type": "v_prediction"}
    schedule.pop("_use_default_values", None)
    model.noise_scheduler = DDPMScheduler.from_config(schedule, rescale_betas_zero_snr=True)
    write_whole_model(model, base, tmp_path / "whole.safetensors")
    monkeypatch.setattr(single_file, "shipped_configuration", lambda *of: config)
    again = load(tmp_path / "whole.safetensors")
    assert (again.prediction_type, again.alphas_cumprod[-1]) == ("v_prediction", 0)


def test_what_is_not_ours_is_not_overwritten(micro_sd: Path, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match="for a whole model is written over nothing"):
        write_whole_model(load(micro_sd), micro_sd, micro_sd)
    save_file({"a": torch.zeros(1)}, tmp_path / "mine.safetensors")
    with pytest.raises(FileExistsError, match="a file is there that sdtune did not write"):
        write_whole_model(load(micro_sd), micro_sd, tmp_path / "mine.safetensors")


@pytest.mark.slow
def test_words_go_into_a_folder_and_not_into_a_file(
    tiny_model, tiny_sd: Path, tmp_path: Path
) -> None:
    add_token_embedding(tiny_model, "<erica>", "c", num_vectors=2)
    AdapterSet(TokenEmbeddingAdapter.from_model(tiny_model)).save(tmp_path / "word")
    expected = tiny_model.encode_prompts(["a <erica>"]).encoder_hidden_states
    merged = merge_into_base(tiny_sd, [tmp_path / "word"])
    with pytest.raises(ValueError, match="has no vocabulary to hold <erica> <erica>_1: leave"):
        write_whole_model(merged, tiny_sd, tmp_path / "whole.safetensors")
    write_whole_model(merged, tiny_sd, tmp_path / "whole")
    again = load(tmp_path / "whole").encode_prompts(["a <erica> <erica>_1"])
    torch.testing.assert_close(again.encoder_hidden_states, expected)


def test_what_cannot_be_worked_in_is_refused(tiny_model, tiny_sd: Path, tmp_path: Path) -> None:
    add_tuned_projections(tiny_model)
    AdapterSet(CrossAttentionAdapter.from_model(tiny_model)).save(tmp_path / "keys")
    with pytest.raises(ValueError, match="is of keys and values, which are read by attention"):
        merge_into_base(tiny_sd, [tmp_path / "keys"])
    with pytest.raises(ValueError, match=r"for each of 1 adapters, but got \[1\.0, 1\.0\]"):
        merge_into_base(tiny_sd, [tmp_path / "keys"], [1.0, 1.0])


def test_a_word_alone_has_no_weight(tuned, micro_sd: Path) -> None:
    [word], _ = tuned("word")
    with pytest.raises(ValueError, match=r"to be 1, but got 0\.5: learned words are either in"):
        merge_into_base(micro_sd, [word], [0.5])


@pytest.mark.parametrize("kinds", [("LoRA", "whole UNet", "DoRA"), ("whole UNet", "whole UNet")])
def test_changes_of_several_are_added_in_any_order(kinds, tuned, base, micro_sd: Path) -> None:
    """Each as far as its weight says, from the base's own weights."""
    files = [tuned(kind, seed)[0][-1] for seed, kind in enumerate(kinds)]
    alone = [dict(merge_into_base(micro_sd, [each]).named_parameters()) for each in files]
    weights = [0.5, -1.0, 2.0][: len(files)]
    own = dict(base.named_parameters())
    merged = dict(merge_into_base(micro_sd, files, weights).named_parameters())
    turned = dict(merge_into_base(micro_sd, files[::-1], weights[::-1]).named_parameters())
    for name, before in own.items():
        changes = [w * (each[name] - before) for w, each in zip(weights, alone, strict=True)]
        expected = before + sum(changes)
        torch.testing.assert_close(merged[name], expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(turned[name], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["LoRA", "DoRA", "whole UNet"])
def test_a_weight_of_nothing_is_the_base(kind, tuned, base, micro_sd: Path) -> None:
    merged = merge_into_base(micro_sd, [tuned(kind)[0][-1]], [0.0]).state_dict()
    assert all(torch.equal(merged[n], each) for n, each in base.state_dict().items())
