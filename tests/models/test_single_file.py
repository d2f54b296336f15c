from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from sdtune.files.pickled_tensors import read_pickle
from sdtune.models import (
    Part,
    StableDiffusion,
    check_base,
    load,
    load_tokenizers,
    make_noise_scheduler,
    single_file,
)
from sdtune.models.fingerprint import fingerprint
from sdtune.models.shipped import shipped_folder
from sdtune.models.single_file import find_single_file
from sdtune.models.skeleton import load_skeleton
from tests.models.hub_cache import make_hub_cache
from tests.models.original_layout import original_state_dict
from tests.models.test_trained_schedule import SHIPPED

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


@pytest.mark.parametrize(
    ("name", "is_there"),
    [
        ("model.diffusion_model.input_blocks.1.0.in_layers.2.weight", False),
        ("first_stage_model.decoder.mid.attn_1.norm.weight", False),
        ("cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.weight", False),
        # diffusers loads the first two, and transformers the third
        ("first_stage_model.decoder.mid.attn_1.norm.weight", True),
        ("cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.weight", True),
    ],
)
def test_a_file_that_lacks_weights_is_refused(
    weights: dict[str, Tensor], config: Path, tmp_path: Path, name: str, is_there: bool
) -> None:
    path = tmp_path / "tiny.safetensors"
    others = {each: weight for each, weight in weights.items() if each != name}
    save_file(others | ({name: torch.zeros(7)} if is_there else {}), path)
    shutil.copytree(config, tmp_path / "tiny")
    with pytest.raises(ValueError, match=f"`base` {path} could not be loaded: ") as caught:
        load(path)
    what = "has 1 of another shape" if is_there else "lacks 1 of the 1126 weights of the model"
    assert f"{path} {what}, such as {name}" in str(caught.value)


def test_a_half_precision_file_is_cast_up(
    weights: dict[str, Tensor], config: Path, tmp_path: Path, model: StableDiffusion
) -> None:
    save_file(
        {name: weight.half() for name, weight in weights.items()}, tmp_path / "tiny.safetensors"
    )
    shutil.copytree(config, tmp_path / "tiny")
    loaded = load(tmp_path / "tiny.safetensors")
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    assert _fingerprints(loaded) == {
        part: fingerprint(getattr(model, part), torch.float16) for part in PARTS
    }


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
    assert f"repository into {tmp_path / 'anime'}, or" in str(caught.value)


def test_a_configuration_of_another_noise_process_is_refused(
    weights: dict[str, Tensor], config: Path, tmp_path: Path
) -> None:
    path = tmp_path / "anime.safetensors"
    save_file(weights, path)
    folder = Path(shutil.copytree(config, tmp_path / "anime"))
    schedule = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(schedule))
    with pytest.raises(ValueError, match=f"{path} is trained by flow matching"):
        check_base(path)


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


ATTENTION = "transformer_blocks.0.attn2.to_k.weight"
TELLING = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"


def _header(kind: str) -> dict[str, Tensor]:
    """As many weights as a real UNet has, the telling ones in shape, the others empty."""
    block, width = (
        ("4.1", (640, 2048)) if kind == "xl" else ("2.1", (320, 768 + 256 * (kind == "2")))
    )
    header = {
        f"model.diffusion_model.{number}": torch.zeros(0)
        for number in range(1678 if kind == "xl" else 684)
    }
    header[f"model.diffusion_model.input_blocks.{block}.{ATTENTION}"] = torch.zeros(width)
    header[TELLING] = torch.zeros(320)
    header["first_stage_model.encoder.conv_in.bias"] = torch.zeros(2)
    text = {
        "1": ["cond_stage_model.transformer.text_model.embeddings.position_ids"],
        "2": ["cond_stage_model.model.ln_final.bias"],
        "xl": [
            "conditioner.embedders.0.transformer.text_model.embeddings.position_ids",
            "conditioner.embedders.1.model.transformer.resblocks.9.mlp.c_proj.bias",
        ],
    }
    return header | {name: torch.zeros(1) for name in text[kind]}


@pytest.fixture
def without_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("without_hub")
def test_stable_diffusion_1_is_told_by_its_shapes_and_needs_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "anime.safetensors"
    save_file(_header("1"), path)
    found = find_single_file(path)
    assert (found.family.name, found.config.name) == (
        "Stable Diffusion 1 or 2",
        "stable_diffusion_1",
    )
    assert found.noise_schedule == {"prediction_type": "epsilon"}
    assert load_skeleton(path)["unet"].config.cross_attention_dim == 768
    assert load_tokenizers(path)[0]("a horse").input_ids == [49406, 320, 4558, 49407]


@pytest.mark.usefixtures("without_hub")
@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
@pytest.mark.parametrize(
    ("spread", "config", "prediction_type"),
    [(0.05, "stable_diffusion_2_base", "epsilon"), (0.2, "stable_diffusion_2", "v_prediction")],
)
def test_what_stable_diffusion_2_predicts_is_seen_in_its_weights(
    tmp_path: Path, spread: float, config: str, prediction_type: str, suffix: str
) -> None:
    path = tmp_path / f"v2{suffix}"
    header = _header("2")
    header[TELLING] = torch.linspace(-1, 1, 320) * spread * 3**0.5
    torch.save({"state_dict": header}, path) if suffix == ".ckpt" else save_file(header, path)
    found = find_single_file(path)
    assert found.config.name == config
    assert found.noise_schedule == {"prediction_type": prediction_type}
    assert load_tokenizers(path)[0].pad_token == "!"


@pytest.mark.usefixtures("without_hub")
def test_what_a_file_says_it_predicts_is_believed(tmp_path: Path) -> None:
    path = tmp_path / "anime.safetensors"
    save_file(_header("2"), path, {"modelspec.prediction_type": "v"})
    assert find_single_file(path).config.name == "stable_diffusion_2"
    path.with_suffix(".yaml").write_text("model:\n  params:\n    parameterization: eps\n")
    assert find_single_file(path).config.name == "stable_diffusion_2_base"
    path.with_suffix(".yaml").write_text('model:\n  params:\n    parameterization: "v"\n')
    save_file(_header("1"), path)
    assert find_single_file(path).noise_schedule == {"prediction_type": "v_prediction"}
    path.with_suffix(".yaml").unlink()
    save_file(_header("1") | {"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}, path)
    assert find_single_file(path).noise_schedule == {
        "prediction_type": "v_prediction",
        "rescale_betas_zero_snr": True,
    }


@pytest.mark.usefixtures("without_hub")
def test_what_a_file_says_goes_before_a_folder(tmp_path: Path, micro_sd: Path) -> None:
    """As where somebody's model lies among the files of the base that it was made of."""
    path = tmp_path / "anime.safetensors"
    save_file(_header("1") | {"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}, path)
    shutil.copy(micro_sd / "model_index.json", tmp_path)
    with pytest.raises(ValueError, match=r"anime.safetensors, to hold scheduler/scheduler_config"):
        find_single_file(path)
    shutil.copytree(micro_sd / "scheduler", tmp_path / "scheduler")
    told = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
    assert find_single_file(path).config == tmp_path
    assert find_single_file(path).noise_schedule == told
    save_file(_header("1"), path)
    assert find_single_file(path).noise_schedule == {}


@pytest.mark.usefixtures("without_hub")
@pytest.mark.parametrize(
    "text",
    ['params: {parameterization: "v", linear_start: 0.1}', '"parameterization": v_prediction'],
)
def test_a_yaml_is_read_however_it_is_written(tmp_path: Path, text: str) -> None:
    path = tmp_path / "anime.safetensors"
    save_file(_header("1"), path)
    path.with_suffix(".yaml").write_text(text)
    assert find_single_file(path).noise_schedule == {"prediction_type": "v_prediction"}


SCALING = """
model:
  params:
    denoiser_config:
      params:
        # target: sgm.modules.diffusionmodules.denoiser_scaling.EDMScaling
        scaling_config:
          target: sgm.modules.diffusionmodules.denoiser_scaling.{}
"""


@pytest.mark.usefixtures("without_hub")
@pytest.mark.parametrize(
    ("kind", "text", "spec", "prediction_type"),
    [
        ("xl", SCALING.format("VScaling"), "epsilon", "v_prediction"),
        ("xl", SCALING.format("EpsScaling"), "v", "epsilon"),
        ("xl", "model:\n  base_learning_rate: 1e-4\n", "v", "v_prediction"),
        ("xl", "", None, "epsilon"),
        ("1", "# parameterization: eps\n", "v", "v_prediction"),
        ("1", "    parameterization: 'v'  # of a fine-tuner\n", "epsilon", "v_prediction"),
        ("1", "    parameterization: x0\n", "epsilon", "sample"),
    ],
)
def test_a_yaml_beside_a_file_decides_only_what_it_says(
    tmp_path: Path, kind: str, text: str, spec: str | None, prediction_type: str
) -> None:
    path = tmp_path / "anime.safetensors"
    save_file(_header(kind), path, {"modelspec.prediction_type": spec} if spec else None)
    path.with_suffix(".yaml").write_text(text)
    assert find_single_file(path).noise_schedule == {"prediction_type": prediction_type}


@pytest.mark.usefixtures("without_hub")
def test_a_yaml_that_says_nothing_leaves_stable_diffusion_2_to_its_weights(tmp_path: Path) -> None:
    path = tmp_path / "v2.safetensors"
    save_file(_header("2") | {TELLING: torch.linspace(-1, 1, 320)}, path)
    path.with_suffix(".yaml").write_text("model: {}\n")
    assert find_single_file(path).config.name == "stable_diffusion_2"


@pytest.mark.parametrize("name", ["EDMScaling", "VScalingWithEDMcNoise"])
def test_a_yaml_of_another_noise_process_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "cos.safetensors"
    save_file(_header("xl"), path)
    path.with_suffix(".yaml").write_text(SCALING.format(name))
    with pytest.raises(ValueError, match=rf"by EDM, as .*cos\.yaml says \({name}\), which"):
        check_base(path)


@pytest.mark.slow
@pytest.mark.usefixtures("without_hub")
@pytest.mark.parametrize("name", SHIPPED)
def test_a_file_that_says_ztsnr_is_trained_up_to_pure_noise(
    name: str,
    weights: dict[str, Tensor],
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The configurations that are shipped leave the name out; only their sizes are not these."""
    folder = Path(shutil.copytree(config, tmp_path / "config"))
    shutil.copytree(shipped_folder(name) / "scheduler", folder / "scheduler", dirs_exist_ok=True)
    index = json.loads((folder / "model_index.json").read_text())
    shipped_index = json.loads((shipped_folder(name) / "model_index.json").read_text())
    index["scheduler"] = shipped_index["scheduler"]
    (folder / "model_index.json").write_text(json.dumps(index))
    monkeypatch.setattr(single_file, "shipped_configuration", lambda *of: folder)
    path = tmp_path / "anime.safetensors"
    save_file(weights | {"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}, path)
    loaded = load(path)
    assert loaded.prediction_type == "v_prediction"
    assert loaded.alphas_cumprod[-1] == 0
    made = make_noise_scheduler("ddim", loaded.noise_scheduler)
    assert (made.alphas_cumprod[-1], made.config.timestep_spacing) == (0, "trailing")


def test_what_a_file_says_goes_before_what_the_hub_s_configuration_says(
    weights: dict[str, Tensor], config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_hub_cache(
        tmp_path / "cache", "stable-diffusion-v1-5/stable-diffusion-v1-5", config, monkeypatch
    )
    path = tmp_path / "anime.safetensors"
    save_file(weights, path, {"modelspec.prediction_type": "v"})
    assert find_single_file(path).noise_schedule == {"prediction_type": "v_prediction"}
    save_file(weights | {"ztsnr": torch.zeros(0)}, path)
    assert find_single_file(path).noise_schedule == {"rescale_betas_zero_snr": True}


@pytest.mark.usefixtures("without_hub")
def test_stable_diffusion_xl_is_told_by_its_names(tmp_path: Path) -> None:
    path = tmp_path / "xl.safetensors"
    save_file(_header("xl"), path)
    found = find_single_file(path)
    assert found.family.name == "Stable Diffusion XL"
    assert found.family.text_encoder_names == ("text_encoder", "text_encoder_2")
    assert found.config.name == "stable_diffusion_xl"
    assert [each.pad_token for each in load_tokenizers(path)] == ["<|endoftext|>", "!"]


@pytest.mark.parametrize(
    ("name", "shape", "what"),
    [
        ("model.diffusion_model.joint_blocks.0.x_block.mlp.fc1.bias", (4,), "Stable Diffusion 3"),
        ("double_blocks.0.img_attn.norm.key_norm.scale", (4,), "Flux"),
        ("model.diffusion_model.input_blocks.0.0.weight", (4, 9, 3, 3), "a model for inpainting"),
        ("model.diffusion_model.input_blocks.0.0.weight", (4, 8, 3, 3), "InstructPix2Pix"),
        ("conditioner.embedders.0.model.ln_final.bias", (4,), "Stable Diffusion XL's refiner"),
        ("edm_vpred.sigma_max", (), "CosXL or of its kind, which is trained by another"),
    ],
)
def test_other_kinds_of_models_are_refused_by_their_names(
    tmp_path: Path, name: str, shape: tuple[int, ...], what: str
) -> None:
    path = tmp_path / "other.safetensors"
    save_file({**_header("1"), name: torch.zeros(shape)}, path)
    with pytest.raises(ValueError, match=f"for text to image, but {path} is {what}"):
        check_base(path)


@pytest.mark.usefixtures("without_hub")
def test_a_file_of_missing_blocks_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "distilled.safetensors"
    header = _header("1")
    del header["model.diffusion_model.0"]
    save_file(header, path)
    with pytest.raises(ValueError, match="of sizes that no configuration of sdtune's own fits"):
        check_base(path)


def test_a_pickle_that_holds_itself_comes_to_an_end(tmp_path: Path) -> None:
    content: dict = {}
    content["state_dict"] = content
    torch.save(content, tmp_path / "base.ckpt")
    with pytest.raises(ValueError, match=r"`base` .*base.ckpt"):
        find_single_file(tmp_path / "base.ckpt")
    with pytest.raises(ValueError, match="it is endless"):
        read_pickle(tmp_path / "base.ckpt")
