import pytest
import torch

from sdtune.bench.random_bases import RANDOM_BASES, random_base
from sdtune.models import check_base, load
from sdtune.models.empty_parts import make_empty_part
from sdtune.models.shipped import shipped_folder
from tests.fast_part import some_fast


@pytest.mark.parametrize("name", some_fast(["tiny", "tiny_xl"], ["tiny"]))
def test_a_random_base_is_written_once_and_is_a_base(name, tmp_path):
    folder = random_base(name, tmp_path)
    written = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert random_base(name, tmp_path) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == written
    check_base(folder)
    model = load(folder)
    assert model.resolution == 64
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        prompt = model.encode_prompts(["a cat"])
        prompt = prompt.with_inputs(model.picture_inputs({}, latents))
        predicted = model(latents, torch.tensor(500), prompt)
    assert 0.1 < predicted.std() < 10  # neither dies out nor grows without end


@pytest.mark.parametrize("name", RANDOM_BASES)
def test_its_architecture_comes_with_sdtune(name):
    base = RANDOM_BASES[name]
    folder = shipped_folder(base.shipped)
    assert {*base.changes} <= {path.parent.name for path in folder.glob("*/config.json")}


def test_stable_diffusion_1_has_its_860_million_weights():
    unet = make_empty_part("unet", shipped_folder("stable_diffusion_1") / "unet" / "config.json")
    assert sum(each.numel() for each in unet.parameters()) == 859_520_964
