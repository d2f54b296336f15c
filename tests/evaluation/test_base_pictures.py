import json
import shutil

import torch

from sdtune.adapters.lora import add_lora
from sdtune.evaluation.base_pictures import BasePictures, base_fingerprint, describe_drawer
from sdtune.models import load, sample

SAMPLER = {
    "num_inference_steps": 2,
    "guidance_scale": 7.5,
    "negative_prompt": "",
    "clip_skip": 1,
    "size": (64, 64),
}


class Drawer:
    def __init__(self):
        self.calls = 0

    def __call__(self, prompts, seeds):
        self.calls += 1
        return torch.rand(len(prompts), 3, 4, 4)


def test_pictures_are_drawn_once_for_what_they_depend_on(tmp_path):
    draw, cache = Drawer(), BasePictures({"fingerprint": "a"}, tmp_path)
    first = cache.get(["a cat"], [0], draw)
    assert torch.equal(
        first, BasePictures({"fingerprint": "a"}, tmp_path).get(["a cat"], [0], draw)
    )
    assert draw.calls == 1
    assert torch.equal((first * 255).round() / 255, first)
    cache.get(["a cat"], [1], draw)
    cache.get(["a dog"], [0], draw)
    BasePictures({"fingerprint": "b"}, tmp_path).get(["a cat"], [0], draw)
    assert draw.calls == 4


def test_a_base_of_the_same_weights_with_another_setting_is_another(tiny_xl, tmp_path):
    folder = shutil.copytree(tiny_xl, tmp_path / "copy")
    index = folder / "model_index.json"
    settings = json.loads(index.read_text())
    index.write_text(json.dumps(settings | {"force_zeros_for_empty_prompt": False}))
    model, other = load(tiny_xl), load(folder)
    assert base_fingerprint(other) == base_fingerprint(model)
    base = describe_drawer(model, **SAMPLER)
    assert describe_drawer(other, **SAMPLER) != base
    assert describe_drawer(model, **SAMPLER | {"size": (64, 128)}) != base
    drawn = [sample(each, ["a cat"], seeds=[0], num_inference_steps=1) for each in (model, other)]
    assert not torch.allclose(*drawn, atol=0.1)


def test_a_damaged_file_counts_as_absent(tmp_path):
    draw, cache = Drawer(), BasePictures({}, tmp_path)
    cache.get(["a cat"], [0], draw)
    [path] = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-5])
    cache.get(["a cat"], [0], draw)
    assert draw.calls == 2


def test_an_adapter_does_not_change_the_base(tiny_sd):
    model = load(tiny_sd)
    before = base_fingerprint(model)
    model._fingerprints.clear()
    add_lora(model, rank=1, alpha=1.0, target_modules=["to_q"])
    assert base_fingerprint(model) == before
