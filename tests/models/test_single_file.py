from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from sdtune.models import Part, StableDiffusion, check_base, load, load_tokenizers
from tests.models.hub_cache import make_hub_cache
from tests.models.original_layout import original_state_dict

PARTS: tuple[Part, ...] = ("unet", "vae", "text_encoders")


@pytest.fixture(scope="module")
def weights(model: StableDiffusion) -> dict[str, Tensor]:
    return original_state_dict(model)


@pytest.fixture(scope="module")
def config(tiny_sd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model's folder without its weights."""
    folder = tmp_path_factory.mktemp("config") / "tiny"
    shutil.copytree(tiny_sd, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    return folder


def _fingerprints(model: StableDiffusion) -> dict[Part, str]:
    return {part: model.fingerprint(part) for part in PARTS}


def test_the_writer_knows_the_original_s_keys(weights: dict[str, Tensor]) -> None:
    for name in (
        "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight",
        "model.diffusion_model.output_blocks.11.0.skip_connection.weight",
        "first_stage_model.decoder.up.3.upsample.conv.weight",
        "cond_stage_model.transformer.text_model.encoder.layers.11.mlp.fc1.weight",
    ):
        assert name in weights
    assert weights["first_stage_model.encoder.mid.attn_1.q.weight"].ndim == 4


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
def test_a_file_gives_the_same_model_as_the_folder(
    suffix: str,
    model: StableDiffusion,
    weights: dict[str, Tensor],
    config: Path,
    tmp_path: Path,
) -> None:
    path = tmp_path / f"tiny{suffix}"
    if suffix == ".ckpt":
        torch.save({"state_dict": weights, "global_step": 470000}, path)
    else:
        save_file(weights, path)
    shutil.copytree(config, tmp_path / "tiny")
    check_base(path)
    loaded = load(path)
    assert loaded.source == str(path)
    assert _fingerprints(loaded) == _fingerprints(model)
    assert loaded.noise_scheduler.config.beta_schedule == "scaled_linear"
    assert load_tokenizers(path)[0].get_vocab() == model.tokenizers[0].get_vocab()


def test_a_half_precision_file_is_cast_up(
    weights: dict[str, Tensor], config: Path, tmp_path: Path, tiny_sd: Path
) -> None:
    save_file(
        {name: weight.half() for name, weight in weights.items()}, tmp_path / "tiny.safetensors"
    )
    shutil.copytree(config, tmp_path / "tiny")
    loaded = load(tmp_path / "tiny.safetensors")
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    assert _fingerprints(loaded) == _fingerprints(load(tiny_sd, dtype=torch.float16))


def test_the_file_s_own_folder_can_hold_the_configuration(
    weights: dict[str, Tensor], config: Path, tmp_path: Path, model: StableDiffusion
) -> None:
    folder = shutil.copytree(config, tmp_path / "repository")
    save_file(weights, folder / "v1-5-pruned.safetensors")
    assert load(folder / "v1-5-pruned.safetensors").fingerprint("unet") == model.fingerprint("unet")


def test_the_configuration_is_found_in_the_hub_s_cache(
    weights: dict[str, Tensor],
    config: Path,
    tmp_path: Path,
    model: StableDiffusion,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_hub_cache(
        tmp_path / "cache", "stable-diffusion-v1-5/stable-diffusion-v1-5", config, monkeypatch
    )
    save_file(weights, tmp_path / "anime.safetensors")
    loaded = load(tmp_path / "anime.safetensors")
    assert _fingerprints(loaded) == _fingerprints(model)


def test_a_file_without_configuration_says_what_to_do(
    weights: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "anime.safetensors"
    save_file(weights, path)
    with pytest.raises(ValueError, match="holds weights alone") as caught:
        check_base(path)
    assert "stable-diffusion-v1-5/stable-diffusion-v1-5, is neither" in str(caught.value)
    assert f"files into {tmp_path / 'anime'}, or" in str(caught.value)


class _Payload:
    """A pickle that makes a folder when it is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


def test_a_malicious_pickle_is_refused_and_not_run(
    weights: dict[str, Tensor], config: Path, tmp_path: Path
) -> None:
    path = tmp_path / "tiny.ckpt"
    torch.save({"state_dict": weights, "callbacks": _Payload(tmp_path / "pwned")}, path)
    shutil.copytree(config, tmp_path / "tiny")
    for function in (check_base, load):
        with pytest.raises(ValueError, match="is refused: it is damaged, or a pickle that"):
            function(path)
    assert not (tmp_path / "pwned").exists()


def test_a_file_that_is_no_base_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lora.safetensors"
    with pytest.raises(ValueError, match="to be an existing file, but there is no"):
        check_base(path)
    save_file({"lora_unet_mid_block.lora_down.weight": torch.zeros(2, 2)}, path)
    with pytest.raises(
        ValueError, match="but it lacks the UNet, the VAE, the text encoder of Stable Diffusion"
    ):
        check_base(path)
    for name, message in (
        ("broken.safetensors", "cannot be read: "),
        ("broken.ckpt", "is refused: it is damaged"),
        ("empty.ckpt", "cannot be read: "),
    ):
        (tmp_path / name).write_bytes(b"" if name.startswith("empty") else b"\x00" * 40)
        with pytest.raises(ValueError, match=f"{name} {message}"):
            check_base(tmp_path / name)
    torch.save([1, 2], tmp_path / "list.ckpt")
    with pytest.raises(ValueError, match="cannot be read: it holds a list"):
        check_base(tmp_path / "list.ckpt")


def test_stable_diffusion_2_is_told_by_its_shapes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    attention = "input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight"
    header = {
        f"model.diffusion_model.{attention}": torch.zeros(2, 1024),
        "first_stage_model.encoder.conv_in.bias": torch.zeros(2),
        "cond_stage_model.model.ln_final.bias": torch.zeros(2),
    }
    save_file(header, tmp_path / "v2.safetensors")
    with pytest.raises(ValueError, match="goes with them, stabilityai/stable-diffusion-2"):
        check_base(tmp_path / "v2.safetensors")
