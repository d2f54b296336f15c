"""What holds for every kind and format; and that a new one from outside is as good as ours."""

from __future__ import annotations

import copy
import json
import random
import shutil
from collections.abc import Callable

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from sdtune.adapters import registry
from sdtune.adapters.adapter import Adapter
from sdtune.adapters.adapter_set import AdapterSet
from sdtune.adapters.format import AdapterFormat
from sdtune.adapters.keys_values import (
    CrossAttentionAdapter,
    add_tuned_projections,
    tuned_projections,
)
from sdtune.adapters.lora import LoRAAdapter, add_lora, lora_parameters
from sdtune.adapters.pipeline import find_adapter_files, load_adapter, load_pipeline
from sdtune.adapters.usage import Use
from sdtune.adapters.verification import AdapterVerificationError, evaluating
from sdtune.adapters.whole_unet import TunedUNet
from sdtune.adapters.words import TokenEmbeddingAdapter, add_token_embedding
from sdtune.callbacks.adapter_checkpoint import AdapterCheckpoint
from sdtune.models import StableDiffusion, load
from sdtune.report.usage import describe_use
from tests.callbacks.fake_technique import FakeData, FakeTechnique, make_trainer


def lora(model: StableDiffusion) -> list[nn.Parameter]:
    # linear layers, a convolution, the text encoder; alpha / rank is no round number
    add_lora(model, rank=3, alpha=0.7, target_modules=["to_q", "conv1", "fc1"], text_encoder=True)
    return lora_parameters(model)


def words(model: StableDiffusion) -> list[nn.Parameter]:
    return add_token_embedding(model, "<erica>", "c", num_vectors=2)


def keys_and_values(model: StableDiffusion) -> list[nn.Parameter]:
    add_tuned_projections(model)
    return [each.weight for each in tuned_projections(model).values()]


def whole_unet(model: StableDiffusion) -> list[nn.Parameter]:
    return list(model.unet.requires_grad_(True).parameters())


LEARNS: dict[type[Adapter], Callable[[StableDiffusion], list[nn.Parameter]]] = {
    LoRAAdapter: lora,
    TokenEmbeddingAdapter: words,
    CrossAttentionAdapter: keys_and_values,
    TunedUNet: whole_unet,
}
"""Kind -> what puts it into a model, and returns what learns. A new kind adds a line."""

ALL = pytest.mark.parametrize(
    "form", registry.formats(), ids=lambda form: f"{form.adapter_type.kind}-{form.name}"
)


@torch.no_grad()
def trained_model(base, form, dtype=torch.float32) -> StableDiffusion:
    model = copy.deepcopy(base)
    model.unet.to(dtype), model.text_encoders.to(dtype)
    generator = torch.Generator().manual_seed(0)
    for parameter in LEARNS[form.adapter_type](model):
        scale = 0.02 if form.adapter_type is TunedUNet else 0.1
        parameter += scale * torch.randn(parameter.shape, generator=generator).to(parameter)
    return model.eval()


@torch.no_grad()
def predict(model: StableDiffusion) -> torch.Tensor:
    noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    conditioning = model.encode_prompts(["a <erica> on a hill"])
    return model(noise.to(model.dtype), torch.tensor([100]), conditioning).float()


@ALL
def test_what_was_written_is_recognised_and_does_the_same(form, base, tmp_path):
    model = trained_model(base, form)
    adapter = form.adapter_type.from_model(model)
    assert form.holds(adapter)
    path = tmp_path / form.file_name
    form.write(adapter, path, {"sdtune.steps": "7"})
    assert registry.recognise(path) is form
    assert form.find(tmp_path) == path
    assert find_adapter_files(path if path.is_file() else tmp_path) == [path]
    assert form.metadata(path)["sdtune.steps"] == "7"
    files = {each for each in tmp_path.rglob("*") if each.is_file()}
    assert set(registry.written_files(tmp_path)) == files
    for program in ("diffusers", "A1111", "ComfyUI"):
        use = form.use(program, path, "mine")
        assert use.lines or (use.note and program not in form.made_for)
    fresh = copy.deepcopy(base)
    assert load_adapter(fresh, tmp_path) == [path]
    torch.testing.assert_close(predict(fresh), predict(model), rtol=1e-4, atol=1e-4)
    assert (predict(base) - predict(model)).abs().max() > 1e-2
    assert not any(parameter.requires_grad for parameter in fresh.parameters())


@pytest.mark.parametrize("header", [{"sdtune.technique": "merge"}, {}], ids=["ours", "foreign"])
def test_the_file_beside_is_another_adapters_where_the_matrices_are(header, base, tmp_path):
    model = copy.deepcopy(base)
    first, second = tmp_path / "first", tmp_path / "second"
    learned = lora(model)
    for folder in (first, second):
        with torch.no_grad():
            learned[-1] += 1
        AdapterSet(LoRAAdapter.from_model(model)).save(folder, header)
    own, other = (registry.formats_of(LoRAAdapter)[number].file_name for number in (0, 1))
    assert registry.made_for("A1111", first / own)[1] == first / other
    shutil.copy(second / other, first / other)
    if not header:
        for name in (own, other):
            save_file(load_file(first / name), first / name)
    assert registry.made_for("A1111", first / own)[1] == first / own


@ALL
def test_what_is_removed_leaves_the_base(form, base):
    if form.adapter_type is TunedUNet:
        pytest.skip("nothing is below a whole UNet")
    model = trained_model(base, form)
    form.adapter_type.remove(model)
    left, expected = model.state_dict(), base.state_dict()
    assert left.keys() == expected.keys()
    assert all(torch.equal(left[name], expected[name]) for name in expected)
    assert model.substitutions == {}


@ALL
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_verification_passes_and_leaves_no_trace(form, dtype, base, tmp_path):
    """Beside words and a LoRA in float32, which a cast by any reader would round."""
    model = trained_model(base, form, dtype)
    if form.adapter_type not in (LoRAAdapter, TunedUNet, CrossAttentionAdapter):
        add_lora(model, rank=1, alpha=1.0, text_encoder=True)
    if form.adapter_type is not TokenEmbeddingAdapter:
        for rows in add_token_embedding(model, "<other>", "c"):
            rows.data += 1e-4
    model.train()
    before = {name: (each, each.clone()) for name, each in model.state_dict().items()}
    parameters = {name: (each, each.requires_grad) for name, each in model.named_parameters()}
    modes = [each.training for each in model.modules()]
    sizes = [len(each) for each in model.tokenizers]
    random_states = torch.get_rng_state().tolist(), random.getstate()
    adapter = form.adapter_type.from_model(
        model, *(["<erica>"] if form.adapter_type is TokenEmbeddingAdapter else [])
    )
    path = tmp_path / form.file_name
    form.write(adapter, path, {})
    form.verify(adapter, path, model)
    assert parameters == {n: (each, each.requires_grad) for n, each in model.named_parameters()}
    for name, now in model.state_dict().items():
        assert now.dtype == before[name][1].dtype
        assert now.data_ptr() == before[name][0].data_ptr()
        assert torch.equal(now, before[name][1]), name
    assert [each.training for each in model.modules()] == modes
    assert [len(each) for each in model.tokenizers] == sizes
    assert (torch.get_rng_state().tolist(), random.getstate()) == random_states


@ALL
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_that_went_on_learning_is_told_from_its_file(form, dtype, base, tmp_path):
    model = trained_model(base, form, dtype)
    adapter = form.adapter_type.from_model(model)
    path = tmp_path / form.file_name
    form.write(adapter, path, {})
    with torch.no_grad():
        next(each for each in model.parameters() if each.requires_grad)[0] += 1e-2
    with pytest.raises(AdapterVerificationError):
        form.verify(adapter, path, model)


@ALL
def test_foreign_files_are_neither_replaced_nor_ours(form, base, tmp_path):
    adapter = form.adapter_type.from_model(trained_model(base, form))
    path = tmp_path / form.file_name
    form.write(adapter, path, {})
    weights = sorted(tmp_path.rglob("*.safetensors"))
    for each in weights:
        save_file({"x": torch.zeros(1)}, each)
    assert registry.written_files(tmp_path) == []
    with pytest.raises(FileExistsError, match="sdtune did not write"):
        form.write(adapter, path, {})


def test_what_is_no_adapter_is_one_sentence(tmp_path, micro_sd):
    path = tmp_path / "text.safetensors"
    path.write_text("no tensors")
    with pytest.raises(ValueError, match=r"LoRA \(kohya\).* but it is no file of tensors"):
        load_pipeline(micro_sd, path)
    save_file({"one": torch.zeros(3, 3), "two": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="but its first tensor is `one`"):
        load_pipeline(micro_sd, path)
    with pytest.raises(FileNotFoundError):
        registry.recognise(tmp_path / "nowhere")


def test_of_a_kind_one_format_is_loaded_and_words_before_weights(base, tmp_path):
    model = copy.deepcopy(base)
    add_token_embedding(model, "<erica>", "c")
    add_lora(model, rank=1, alpha=1.0)
    adapter = LoRAAdapter.from_model(model)
    for form in registry.formats_of(LoRAAdapter):
        form.write(adapter, tmp_path / form.file_name, {})
    AdapterSet(TokenEmbeddingAdapter.from_model(model)).save(tmp_path)
    names = ["pytorch_lora_weights.safetensors", "kohya_lora.safetensors", "peft"]
    for name in names[:2]:
        found = [each.name for each in find_adapter_files(tmp_path)]
        assert found == ["learned_embeds.safetensors", name]
        (tmp_path / name).unlink()
    assert find_adapter_files(tmp_path)[1] == tmp_path / "peft"


class OutputBias(Adapter):
    """A kind from outside: the bias of the UNet's last layer."""

    kind = "output bias"

    def __init__(self, values):
        self.values = values

    @classmethod
    def from_model(cls, model):
        return cls(model.unet.conv_out.bias.tolist())

    @classmethod
    def remove(cls, model):
        pass


class JSONFormat(AdapterFormat[OutputBias]):
    adapter_type = OutputBias
    name = "JSON"
    file_name = "output_bias.json"

    def recognises(self, path, header):
        return path.name == self.file_name

    def load(self, model, path):
        values = json.loads(path.read_text())["bias"]
        bias = torch.tensor(values, device=model.device, dtype=model.dtype)
        model.unet.conv_out.bias = nn.Parameter(bias, requires_grad=False)

    def write(self, adapter, path, metadata):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"bias": adapter.values, "metadata": dict(metadata)}))

    def metadata(self, path):
        return json.loads(path.read_text())["metadata"]

    def written_files(self, path):
        return [path]

    def use(self, program, path, name):
        return Use((f"# put {path.name} into {program}",))


class OtherFormat(JSONFormat):
    name = "other"
    file_name = "output_bias.txt"


class BiasTechnique(FakeTechnique):
    def __init__(self, folder):
        super().__init__()
        self.model = load(folder)
        self.model.unet.conv_out.bias.requires_grad_(True)

    def training_step(self, batch, batch_idx):
        return (self.model.unet.conv_out.bias - 1).square().sum()

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD([self.model.unet.conv_out.bias], lr=0.1)

    def adapter(self):
        return AdapterSet(OutputBias.from_model(self.model))


def test_a_kind_and_its_formats_from_outside_are_as_good_as_ours(tmp_path, micro_sd, monkeypatch):
    monkeypatch.setattr(registry, "_formats", list(registry.formats()))
    registry.register(JSONFormat())
    registry.register(OtherFormat())
    with pytest.raises(ValueError, match="of a new name, but there is `JSON`"):
        registry.register(JSONFormat())
    technique = BiasTechnique(micro_sd)
    callback = AdapterCheckpoint(1, keep=1)
    make_trainer(tmp_path, callback, max_steps=3).fit(technique, FakeData())
    written = sorted(str(each.relative_to(tmp_path)) for each in tmp_path.rglob("output*"))
    assert written == [
        "adapter/output_bias.json",
        "adapter/output_bias.txt",
        "adapter/step_000003/output_bias.json",
        "adapter/step_000003/output_bias.txt",
    ]
    callback.keep_best(3, technique)
    assert find_adapter_files(tmp_path / "adapter" / "best")[0].name == "output_bias.json"
    pipeline = load_pipeline(micro_sd, tmp_path)
    torch.testing.assert_close(pipeline.unet.conv_out.bias, technique.model.unet.conv_out.bias)
    files = find_adapter_files(tmp_path)
    diffusers, elsewhere, _ = describe_use("some/base", files, "a cat", "mine")
    assert "# put output_bias.json into diffusers" in diffusers.text
    assert "# put output_bias.json into ComfyUI" in elsewhere.text
    with torch.no_grad(), evaluating(technique.model):
        technique.model.unet.conv_out.bias += 1
    with pytest.raises(AdapterVerificationError, match="output differs by"):
        AdapterSet(OutputBias([0.0] * 4)).verify(files[0], technique.model)


def test_a_kind_that_is_not_registered_is_named():
    with pytest.raises(ValueError, match="a format, but got output bias, which has none"):
        AdapterSet(OutputBias([]))
