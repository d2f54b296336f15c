from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline

from sdtune.models import StableDiffusion, check_base, load, load_tokenizers
from sdtune.models.fingerprint import fingerprint
from sdtune.models.repository import find_folder, find_on_hub, is_hub_id
from sdtune.models.skeleton import load_skeleton
from tests.models.hub_cache import make_hub_cache
from tests.models.hub_in_reach import reach_hub

UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def half(tiny_sd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model in half precision alone, as many repositories have it."""
    folder = tmp_path_factory.mktemp("models") / "half"
    pipeline = StableDiffusionPipeline.from_pretrained(tiny_sd, safety_checker=None)
    pipeline.to(dtype=torch.float16).save_pretrained(folder, variant="fp16")
    return folder


def test_a_cached_repository_of_half_precision_alone_is_loaded(
    half: Path, model: StableDiffusion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_hub_cache(tmp_path, "someone/half", half, monkeypatch)
    check_base("someone/half")
    cached = load("someone/half")
    assert cached.source == "someone/half"
    assert cached.fingerprint("vae") == fingerprint(model.vae, torch.float16)
    assert len(load_tokenizers("someone/half")[0]) == 514
    assert set(load_skeleton("someone/half")) == {"unet", "text_encoder"}


def test_a_revision_is_read_and_no_other(
    tiny_sd: Path, tiny_sd_v: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_hub_cache(tmp_path, "someone/two", tiny_sd, monkeypatch)
    make_hub_cache(tmp_path, "someone/two", tiny_sd_v, monkeypatch, revision="v-prediction")
    assert load("someone/two").prediction_type == "epsilon"
    assert load("someone/two@v-prediction").prediction_type == "v_prediction"
    assert load("someone/two@" + f"{1:040x}").prediction_type == "v_prediction"
    with pytest.raises(ValueError, match="run `hf download someone/two --revision fp32` with"):
        check_base("someone/two@fp32")


def test_a_cached_repository_that_lacks_weights_is_found_before_loading(
    tiny_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = make_hub_cache(tmp_path, "someone/part", tiny_sd, monkeypatch)
    (snapshot / UNET).unlink()
    (snapshot / UNET).symlink_to(tmp_path / "a blob that was not finished")
    with pytest.raises(ValueError, match="in the local Hugging Face cache in part") as caught:
        check_base("someone/part")
    assert "it lacks weights in unet/. Run `hf download someone/part` with" in str(caught.value)


def test_weights_in_several_files_are_all_asked_for(tiny_sd: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_sd, tmp_path / "model"))
    shards = [f"diffusion_pytorch_model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    (folder / UNET).rename(folder / "unet" / shards[0])
    index = {"weight_map": dict(zip("ab", shards, strict=True))}
    (folder / f"{UNET}.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=f"it lacks unet/{shards[1]}"):
        check_base(folder)


@pytest.mark.parametrize(
    ("names", "variant"),
    [
        (["model.safetensors", "model.fp16.safetensors"], None),
        (["model.bin", "model.fp16.safetensors"], None),
        (["model.fp16.safetensors", "model.bf16.safetensors"], "fp16"),
        (["model.bf16.safetensors"], "bf16"),
        (
            ["model.fp16-00001-of-00002.safetensors", "model.fp16-00002-of-00002.safetensors"],
            "fp16",
        ),
        (["model-00001-of-00001.fp16.safetensors"], "fp16"),
    ],
)
def test_the_weights_without_a_name_are_preferred(
    half: Path, tmp_path: Path, names: list[str], variant: str | None
) -> None:
    folder = Path(shutil.copytree(half, tmp_path / "model"))
    for part in ("unet", "vae", "text_encoder"):
        for path in (folder / part).glob("*.safetensors"):
            path.unlink()
        shards = [name for name in names if "-of-" in name]
        for name in names:
            (folder / part / name).touch()
        if shards:
            index = {"weight_map": {str(number): name for number, name in enumerate(shards)}}
            path = folder / part / "model.safetensors.index.fp16.json"
            path.write_text(json.dumps(index))
    assert find_folder(folder, "model").variant == variant


def test_other_runtimes_weights_are_none(half: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(half, tmp_path / "model"))
    (folder / "unet" / "diffusion_pytorch_model.fp16.safetensors").rename(
        folder / "unet" / "openvino_model.bin"
    )
    with pytest.raises(ValueError, match="it lacks weights in unet/"):
        check_base(folder)


def test_an_index_of_weights_that_are_not_read_does_not_matter(half: Path, tmp_path: Path) -> None:
    """As a download of the `fp16` files and all JSON leaves it."""
    folder = Path(shutil.copytree(half, tmp_path / "model"))
    index = {"weight_map": {"conv_in.weight": "diffusion_pytorch_model-00001-of-00002.safetensors"}}
    (folder / f"{UNET}.index.json").write_text(json.dumps(index))
    found = find_folder(folder, "model")
    assert (found.variant, found.without_variant) == ("fp16", frozenset())


def test_the_hub_is_asked_which_weights_there_are(
    half: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    siblings = reach_hub(monkeypatch, half, tmp_path)
    found = find_on_hub("someone/half@main")
    assert (found.location, found.revision, found.variant) == ("someone/half", "main", "fp16")
    assert found.options == {"revision": "main", "local_files_only": False}
    siblings[:] = [each for each in siblings if not each.rfilename.startswith("vae/")]
    with pytest.raises(ValueError, match=r"incomplete: it lacks vae/config\.json, weights in vae"):
        find_on_hub("someone/half")


@pytest.mark.parametrize(
    ("pipeline", "what"),
    [
        ("StableDiffusion3Pipeline", "Stable Diffusion 3"),
        ("FluxPipeline", "Flux"),
        ("StableDiffusionXLInpaintPipeline", "a model for inpainting"),
        ("StableDiffusionXLImg2ImgPipeline", "Stable Diffusion XL's refiner"),
    ],
)
def test_other_pipelines_are_refused_by_their_models_names(
    tmp_path: Path, pipeline: str, what: str
) -> None:
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": pipeline}))
    with pytest.raises(ValueError, match=rf"is {what} \(a {pipeline}\)"):
        check_base(tmp_path)


def test_an_inpainting_unet_in_a_pipeline_for_text_to_image_is_refused(
    tiny_sd: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_sd, tmp_path / "model"))
    config = json.loads((folder / "unet" / "config.json").read_text())
    (folder / "unet" / "config.json").write_text(json.dumps({**config, "in_channels": 9}))
    with pytest.raises(ValueError, match="is a model for inpainting: its UNet takes in 9 channels"):
        check_base(folder)
    (folder / "unet" / "config.json").write_text("[")
    with pytest.raises(ValueError, match=r"config\.json is not JSON"):
        check_base(folder)


def test_a_base_on_the_hub_of_another_noise_process_is_refused_before_its_weights(
    half: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(half, tmp_path / "edm")
    config = folder / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps({"_class_name": "EDMEulerScheduler"}))
    reach_hub(monkeypatch, folder, tmp_path / "cache")
    with pytest.raises(ValueError, match=r"someone/edm is trained by EDM \(EDMEulerScheduler\)"):
        find_on_hub("someone/edm")
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_a_folder_of_another_noise_process_is_refused(micro_sd: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(micro_sd, tmp_path / "model"))
    path = folder / "scheduler" / "scheduler_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"prediction_type": "flow_prediction"}))
    with pytest.raises(ValueError, match=rf"`prediction_type` in {path} .* `flow_prediction`"):
        check_base(folder)
    path.unlink()
    with pytest.raises(ValueError, match=r"it lacks scheduler/scheduler_config\.json\."):
        check_base(folder)


def test_a_pipeline_without_its_text_encoder_may_be_a_refiner(tmp_path: Path) -> None:
    index = {"_class_name": "StableDiffusionPipeline", "text_encoder": [None, None]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="has no text_encoder: it may be a refiner"):
        check_base(tmp_path)


@pytest.mark.parametrize("text", ["owner/name", "owner/name@main", "o-1/n.2@refs/pr/3"])
def test_ids_may_name_a_revision(text: str) -> None:
    assert is_hub_id(text)
    assert not is_hub_id(f"{text}@a@b")
