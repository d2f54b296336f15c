"""Every cell of docs/formats.md: who wrote it, who reads it, of which method, for which family."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import transformers.integrations.peft as transformers_peft
from diffusers import UNet2DConditionModel
from peft import PeftModel

from sdtune.adapters import registry
from sdtune.adapters.adapter_set import AdapterSet
from sdtune.adapters.lora import LoRAAdapter, add_lora, lora_parameters, tunable_parts
from sdtune.adapters.verification import prediction
from sdtune.files import tensor_file
from sdtune.models import load
from tests.adapters import readers
from tests.adapters.matrix import FILES, LIMIT, METHODS, READERS, expected, left_aside, page
from tests.fast_part import some_fast
from tests.models.families.toy_xl import ToyXLFamily, make_toy_xl, registered
from tests.tiny_models import make_micro_sd

ROOT = Path(__file__).parents[2]
SETTINGS = {
    "lora": {"target_modules": "attention+feed_forward"},
    "all": {"target_modules": "all"},
    "dora": {"target_modules": "attention", "use_dora": True},
    "loha": {"target_modules": "all", "adapter_type": "loha"},
    "lokr": {"target_modules": "all", "adapter_type": "lokr"},
}


# names are of a family, and how factors are multiplied of a method: each is there with "all"
TRAINED = [
    *(("sd1", method) for method in METHODS),
    *(("sd2", method) for method in ("all", "lokr")),
    *(("xl", method) for method in ("all", "dora", "loha")),
]


@pytest.fixture(scope="module")
def base(request, tmp_path_factory):
    """A base with the names of a family's modules."""
    folder = tmp_path_factory.mktemp("models") / request.param
    if request.param == "xl":
        with registered(ToyXLFamily()):
            yield load(make_toy_xl(folder))
        return
    make_micro_sd(folder)
    if request.param == "sd2":
        config = {
            **UNet2DConditionModel.load_config(folder / "unet"),
            "use_linear_projection": True,
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            UNet2DConditionModel.from_config(config).save_pretrained(folder / "unet")
    yield load(folder)


@torch.no_grad()
def outputs(model):
    model.eval()
    return [prediction(model), model.encode_prompts(["a cat"]).encoder_hidden_states.float()]


def differences(model, wanted):
    pairs = zip(outputs(model), wanted, strict=True)
    return max(((found - each).norm() / each.norm()).item() for found, each in pairs)


def read_by_peft(model, path):
    for name, part in tunable_parts(model).items():
        wrapped = PeftModel.from_pretrained(part, path / name).get_base_model()
        if name == "unet":
            model.unet = wrapped
        else:
            model.text_encoders[int(name == "text_encoder_2")] = wrapped


def read_by(reader, model, path, form):
    if reader == "sdtune":
        form.load(model, path)
    elif reader == "diffusers":
        model.pipeline().load_lora_weights(str(path.parent), weight_name=path.name)
    elif reader == "PEFT":
        read_by_peft(model, path)
    else:
        rules = {"ComfyUI": readers.comfyui, "A1111": readers.a1111}[reader]
        readers.apply_changes(model, rules(model, tensor_file.read_tensors(path)))


def trained(base, method):
    model = copy.deepcopy(base)
    add_lora(model, rank=3, alpha=2.2, text_encoder=True, **SETTINGS[method])
    with torch.no_grad():
        for number, parameter in enumerate(lora_parameters(model)):
            generator = torch.Generator().manual_seed(number)
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model


@pytest.mark.parametrize(
    ("base", "method"), some_fast(TRAINED, [("sd1", "lokr")]), indirect=["base"]
)
def test_readers_get_what_was_trained_or_refuse_it(base, method, tmp_path):
    try:
        transformers_peft.check_peft_version(transformers_peft.MIN_PEFT_VERSION)
        tried = READERS
    except ValueError:  # diffusers' own reader asks this release, which takes no PEFT there is
        tried = tuple(each for each in READERS if each != "diffusers")
    model = trained(base, method)
    wanted = outputs(model)
    assert differences(base, wanted) > 0.01
    AdapterSet(LoRAAdapter.from_model(model)).save(tmp_path)
    for file in FILES:
        form = next(each for each in registry.formats_of(LoRAAdapter) if each.name == file)
        path, same = tmp_path / form.file_name, expected(method, file)
        assert path.exists() == (same is not None)
        for reader in tried if same is not None else ():
            if reader in same:
                fresh = copy.deepcopy(base)
                read_by(reader, fresh, path, form)
                assert differences(fresh, wanted) <= LIMIT, (file, reader)
        for reader in left_aside(method, file):
            with pytest.raises((KeyError, ValueError)):
                read_by(reader, copy.deepcopy(base), path, form)


@pytest.mark.parametrize(
    ("base", "method"),
    some_fast(
        [("sd1", "lora"), ("sd1", "all"), ("sd2", "all"), ("xl", "all")],
        [("sd1", "lora")],
    ),
    indirect=["base"],
)
def test_a_round_trip_is_equal_to_the_last_bit(base, method, tmp_path):
    adapter = LoRAAdapter.from_model(trained(base, method))
    forms = {each.name: each for each in registry.formats_of(LoRAAdapter)}
    paths = []
    for number, name in enumerate(("diffusers", "kohya", "PEFT", "diffusers")):
        path = tmp_path / str(number) / forms[name].file_name
        forms[name].write(adapter, path, {})
        fresh = copy.deepcopy(base)
        registry.recognise(path).load(fresh, path)
        adapter = LoRAAdapter.from_model(fresh)
        paths.append(path)
    first, last = tensor_file.read_tensors(paths[0]), tensor_file.read_tensors(paths[-1])
    assert first.keys() == last.keys()
    assert all(torch.equal(first[name], last[name]) for name in first)


def test_the_page_says_what_the_cells_say() -> None:
    assert (ROOT / "docs/formats.md").read_text(encoding="utf-8") == page(), (
        "python -m tests.adapters.matrix > docs/formats.md"
    )
