from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from safetensors.torch import load_file, save_file

import sdtune
from sdtune.models import NANO, StableDiffusion, check_base, load, load_tokenizers, sample
from sdtune.models.fingerprint import fingerprint
from tests.models.hub_cache import make_hub_cache

NANO_FOLDER = Path(sdtune.__file__).parent / "nano" / "weights"


def _copy(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to))


@pytest.mark.parametrize("kind", [str, Path])
def test_a_folder_is_loaded(tiny_sd: Path, kind: type) -> None:
    model = load(kind(tiny_sd))
    peer = StableDiffusionPipeline.from_pretrained(tiny_sd, safety_checker=None)
    weights = model.unet.state_dict()
    assert all(torch.equal(weights[name], each) for name, each in peer.unet.state_dict().items())
    assert model.source == str(tiny_sd)
    assert model.noise_scheduler.config.beta_schedule == "scaled_linear"


def test_a_tokenizer_is_loaded_without_its_model(tiny_sd: Path, model: StableDiffusion) -> None:
    assert load_tokenizers(tiny_sd)[0].get_vocab() == model.tokenizers[0].get_vocab()


def test_weights_are_cast_to_the_dtype_asked_for(tiny_sd: Path) -> None:
    model = load(tiny_sd, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_weights_shipped_in_half_precision_are_cast_up(
    tiny_sd: Path, tmp_path: Path, variant: str | None
) -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(tiny_sd, safety_checker=None)
    pipeline.to(dtype=torch.float16).save_pretrained(tmp_path, variant=variant)
    check_base(tmp_path)
    model = load(tmp_path)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert torch.equal(model.unet.conv_in.weight, pipeline.unet.conv_in.weight.float())
    assert torch.equal(
        model.text_encoders[0].get_input_embeddings().weight,
        pipeline.text_encoder.get_input_embeddings().weight.float(),
    )


@pytest.mark.parametrize("base", ["", "stable-diffusion", "no/such/folder", "model.bin", "a b/c"])
def test_an_unknown_base_is_refused(base: str) -> None:
    for function in (check_base, load):
        with pytest.raises(
            ValueError, match="Expected `base` to be `nano`, a folder in diffusers'"
        ):
            function(base)


def test_a_folder_of_pictures_is_not_a_base(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"but it has no model_index\.json"):
        check_base(tmp_path)


def test_all_that_a_folder_lacks_is_listed(tiny_sd: Path, tmp_path: Path) -> None:
    folder = _copy(tiny_sd, tmp_path / "model")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    shutil.rmtree(folder / "text_encoder")
    shutil.rmtree(folder / "tokenizer")
    with pytest.raises(ValueError, match="is incomplete") as caught:
        check_base(folder)
    assert str(caught.value).endswith(
        "it lacks text_encoder/config.json, weights in unet/, weights in text_encoder/, tokenizer/."
    )


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text(
        json.dumps({"_class_name": "StableDiffusionInpaintPipeline"})
    )
    with pytest.raises(ValueError, match=r"a model for inpainting \(a StableDiffusionInpaintPip"):
        check_base(tmp_path)
    (tmp_path / "model_index.json").write_text("[]")
    with pytest.raises(ValueError, match=r"model_index\.json is not a JSON object"):
        check_base(tmp_path)


def test_the_check_reads_no_weights_and_loading_names_the_broken_base(
    tiny_sd: Path, tmp_path: Path
) -> None:
    folder = _copy(tiny_sd, tmp_path / "model")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"no weights")
    check_base(folder)
    with pytest.raises(ValueError, match=f"`base` {folder} could not be loaded: "):
        load(folder)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_part_that_lacks_weights_is_refused(micro_sd: Path, tmp_path: Path, part: str) -> None:
    folder = _copy(micro_sd, tmp_path / "model")
    (path,) = (folder / part).glob("*.safetensors")
    weights = load_file(path)
    lost = sorted(weights)[:2]
    kept = {name: each for name, each in weights.items() if name not in lost}
    save_file(kept, path, {"format": "pt"})
    with pytest.raises(ValueError, match=f"`base` {folder} could not be loaded: ") as caught:
        load(folder)
    assert f"{path} lacks 2 of the {len(weights)} weights" in str(caught.value)
    assert lost[0].removeprefix("text_model.") in str(caught.value)


def test_a_part_of_an_unknown_class_is_refused(micro_sd: Path, tmp_path: Path) -> None:
    folder = _copy(micro_sd, tmp_path / "model")
    index = folder / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"unet": ["os", "system"]}))
    with pytest.raises(ValueError, match=r'as `unet`, such as .* but got \["os", "system"\]'):
        load(folder)


def test_an_id_is_loaded_from_the_local_cache(
    tiny_sd: Path, model: StableDiffusion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_hub_cache(tmp_path, "someone/tiny-sd", tiny_sd, monkeypatch)
    check_base("someone/tiny-sd")
    cached = load("someone/tiny-sd")
    assert cached.source == "someone/tiny-sd"
    assert cached.fingerprint("unet") == model.fingerprint("unet")


def test_an_id_that_is_not_cached_says_what_to_do_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for function in (check_base, load):
        with pytest.raises(ValueError, match="neither a folder here nor in the local") as caught:
            function("CompVis/stable-diffusion-v1-4")
        assert "switched off by HF_HUB_OFFLINE" in str(caught.value)
        assert "run `hf download CompVis/stable-diffusion-v1-4`" in str(caught.value)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (GatedRepoError, "asks for its licence to be accepted"),
        (RepositoryNotFoundError, "neither a folder here nor a repository"),
        (LocalEntryNotFoundError, "and the hub cannot be reached"),
        (RevisionNotFoundError, "but someone/some-model has no `main`"),
        (EntryNotFoundError, "to be a repository in diffusers' layout"),
        (OSError, "could not be looked up on the Hugging Face hub"),
    ],
)
def test_what_the_hub_answers_is_told_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception], message: str
) -> None:
    def answer(*args: object, **kwargs: object) -> str:
        raise error.__new__(error)  # their constructors want a whole HTTP response

    monkeypatch.setattr("huggingface_hub.hf_hub_download", answer)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(ValueError, match=message):
        check_base("someone/some-model@main")


def test_the_fingerprints_are_the_files_whatever_the_type_asked_for(
    tiny_sd: Path, model: StableDiffusion
) -> None:
    half = load(tiny_sd, dtype=torch.bfloat16)
    assert half.dtype == torch.bfloat16
    for part in ("unet", "vae", "text_encoders"):
        assert half.fingerprint(part) == model.fingerprint(part)
        older = fingerprint(getattr(half, part))  # as it once was
        assert older != half.fingerprint(part)
        assert half.has_fingerprint(part, older)
        assert model.has_fingerprint(part, older)
        assert not model.has_fingerprint(part, "0" * 64)


@pytest.mark.skipif(NANO_FOLDER.is_dir(), reason="nano's weights are here")
def test_nano_without_weights_says_so() -> None:
    with pytest.raises(ValueError, match="nano's weights are missing from this installation"):
        check_base(NANO)


@pytest.mark.skipif(not NANO_FOLDER.is_dir(), reason="nano's weights are not here yet")
def test_nano_is_a_stable_diffusion() -> None:
    check_base(NANO)
    model = load(NANO)
    assert model.source == NANO
    assert model.resolution == 64
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    images = sample(model, ["a cat", "a dog"], seeds=[0, 0], num_inference_steps=3)
    assert images.shape == (2, 3, 64, 64)
    assert not torch.allclose(images[0], images[1], atol=1e-2)


@pytest.mark.skipif(not NANO_FOLDER.is_dir(), reason="nano's weights are not here yet")
def test_nano_ships_in_half_precision_and_opens_in_plain_diffusers() -> None:
    files = list(NANO_FOLDER.rglob("*.safetensors"))
    assert sum(file.stat().st_size for file in files) < 40e6
    pipeline = StableDiffusionPipeline.from_pretrained(NANO_FOLDER)
    assert torch.equal(load(NANO).unet.conv_in.weight, pipeline.unet.conv_in.weight.float())
    assert {each.dtype for each in (pipeline.unet, pipeline.text_encoder, pipeline.vae)} == {
        torch.float32
    }
    picture = pipeline("a turtle", num_inference_steps=2, output_type="np").images[0]
    assert picture.shape == (64, 64, 3)
    assert picture.std() > 0.01
