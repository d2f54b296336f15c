import json
import shutil
from pathlib import Path

import pytest
import torch

from sdtune.estimation.hollow_model import hollow_model, likely_architecture, not_at_hand
from sdtune.models import load, load_tokenizers
from tests.models.hub_in_reach import reach_hub


@pytest.mark.parametrize(
    ("base", "architecture"),
    [
        ("CompVis/stable-diffusion-v1-4", "stable_diffusion_1"),
        ("someone/stable-diffusion-2-1", "stable_diffusion_2"),
        ("someone/stable-diffusion-2-1-base", "stable_diffusion_2_base"),
        ("someone/stable-diffusion-xl-base-1.0", "stable_diffusion_xl"),
    ],
)
def test_a_base_that_is_not_at_hand_is_counted_by_its_name(base: str, architecture: str) -> None:
    assert likely_architecture(base) == architecture


def test_a_name_that_tells_nothing_is_said_and_what_is_no_id_refused() -> None:
    assert likely_architecture("someone/dreams") == "stable_diffusion_1"
    assert not_at_hand("someone/dreams").startswith(
        "someone/dreams is not at hand, and its name does not tell what it is: counted as stable_di"
    )
    assert not_at_hand("a/sd1.5") == "a/sd1.5 is not at hand: counted as stable_diffusion_1."
    for base in ("nonesuch", "./nonesuch", "/nonesuch/model.safetensors"):
        with pytest.raises(ValueError, match=f"Expected `base` to be .*{base}"):
            likely_architecture(base)


def test_a_base_that_is_refused_is_not_counted_as_another(
    micro_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the path of its folder is written as an id on the hub is."""
    monkeypatch.chdir(tmp_path)
    folder = shutil.copytree(micro_sd, Path("bases") / "xl-inpainting")
    config = folder / "unet" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "in_channels": 9}))
    with pytest.raises(ValueError, match="inpainting"):
        likely_architecture(str(folder))


def test_settings_are_fetched_of_a_base_that_is_within_reach(
    micro_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reach_hub(monkeypatch, micro_sd, tmp_path)
    monkeypatch.setattr(
        "sdtune.estimation.hollow_model.load_tokenizers", lambda _: load_tokenizers(micro_sd)
    )
    hollow, model = hollow_model("someone/micro"), load(micro_sd)
    assert hollow.noise_scheduler.betas.equal(model.noise_scheduler.betas)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_base_at_hand_has_its_own_sizes_and_no_values(micro_sd: Path) -> None:
    assert likely_architecture(str(micro_sd)) is None
    hollow, model = hollow_model(str(micro_sd), torch.bfloat16), load(micro_sd)
    shapes = {name: each.shape for name, each in hollow.unet.named_parameters()}
    assert shapes == {name: each.shape for name, each in model.unet.named_parameters()}
    assert {each.device.type for each in hollow.parameters()} == {"meta"}
    assert hollow.dtype == torch.bfloat16
