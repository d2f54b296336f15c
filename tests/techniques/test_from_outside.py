"""A technique in one file of somebody else's, made of the same parts."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import pytest
import torch

from sdtune.adapters import registry
from sdtune.cli import main
from tests.picture_folders import make_picture_folder

TECHNIQUE = '''\
"""Only the biases of the UNet learn (after Ben Zaken et al. 2022)."""

from contextlib import contextmanager
from dataclasses import dataclass

import torch
from safetensors.torch import load_file

from sdtune.adapters import registry
from sdtune.adapters.adapter import Adapter
from sdtune.adapters.format import AdapterFormat
from sdtune.files import tensor_file
from sdtune.techniques.base import DiffusionFineTuningModule
from sdtune.techniques.learned import Learned, LearnedGroup
from sdtune.techniques.method import Method


class BiasModule(DiffusionFineTuningModule):
    """Learns the UNet's biases.

    Args:
        learning_rate: Rate of the biases.
        **kwargs: See `DiffusionFineTuningModule`.
    """

    def __init__(self, learning_rate: float = 1e-2, **kwargs):
        method = Method(learns=[Biases()], learning_rates={"learning_rate": learning_rate})
        super().__init__(method, **kwargs)


class Biases(Learned):
    def add_to(self, model, *, seed, clip_skip):
        model.fingerprint("unet")
        self.initial = {name: each.clone() for name, each in self.of(model).items()}

    def of(self, model):
        return {n: p for n, p in model.unet.named_parameters() if n.endswith(".bias")}

    def groups(self, model):
        return [LearnedGroup("biases", list(self.of(model).values()))]

    @contextmanager
    def switched_off(self, model):
        learned = {name: each.detach().clone() for name, each in self.of(model).items()}
        self.put(model, self.initial)
        try:
            yield
        finally:
            self.put(model, learned)

    @torch.no_grad()
    def put(self, model, biases):
        for name, each in self.of(model).items():
            each.copy_(biases[name])

    def adapters(self, model):
        return [BiasAdapter.from_model(model)]


@dataclass
class BiasAdapter(Adapter):
    kind = "biases"
    biases: dict

    @classmethod
    def from_model(cls, model):
        weights = model.unet.named_parameters()
        return cls({n: p.detach().cpu().clone() for n, p in weights if n.endswith(".bias")})

    @classmethod
    def remove(cls, model):
        return


class BiasFormat(AdapterFormat[BiasAdapter]):
    adapter_type = BiasAdapter
    name = "biases"
    file_name = "biases.safetensors"

    def recognises(self, path, header):
        return path.name == self.file_name

    @torch.no_grad()
    def load(self, model, path):
        for name, tensor in load_file(path).items():
            model.unet.get_parameter(name).copy_(tensor)

    def write(self, adapter, path, metadata):
        tensor_file.write(path, adapter.biases, metadata)


if not registry.formats_of(BiasAdapter):
    registry.register(BiasFormat())
'''

RECIPE = """\
seed: 3
model:
  class_path: somebodys.BiasModule
  init_args: {{base: {base}, learning_rate: 1e-2, weight_decay: 0.0, clip_skip: 2}}
data:
  class_path: sdtune.StyleDataModule
  init_args: {{folder: {folder}, resolution: 64, batch_size: 2, cache_dir: {cache}}}
trainer:
  max_steps: 4
  accelerator: cpu
  log_every_n_steps: 1
  enable_progress_bar: false
  enable_model_summary: false
  callbacks:
    - class_path: sdtune.SampleGrid
      init_args: {{prompts: [a disc], every_n_steps: 2, num_inference_steps: 1}}
    - class_path: sdtune.AdapterCheckpoint
      init_args: {{every_n_steps: 2}}
    - class_path: sdtune.EvaluationCallback
      init_args:
        prompts: [a red disc, a blue disc]
        every_n_steps: 2
        num_inference_steps: 1
        style_pictures: 2
        cache_dir: {cache}
    - class_path: sdtune.ResumeCheckpoint
      init_args: {{every_n_steps: 2}}
    - class_path: sdtune.PictureLosses
    - class_path: sdtune.Hyperparameters
    - class_path: lightning.pytorch.callbacks.EMAWeightAveraging
      init_args: {{decay: 0.5}}
"""


@pytest.fixture
def recipe(tmp_path: Path, micro_sd: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(registry, "_formats", [*registry._formats])
    monkeypatch.delitem(sys.modules, "somebodys", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("somebodys.py").write_text(TECHNIQUE, encoding="utf-8")
    folder = make_picture_folder(tmp_path / "discs")
    text = RECIPE.format(base=micro_sd, folder=folder, cache=tmp_path / "cache")
    Path("biases.yaml").write_text(text, encoding="utf-8")
    return "biases.yaml"


@pytest.mark.slow
def test_it_trains_with_all_callbacks_and_resumes_exactly(recipe: str) -> None:
    assert main(["fit", "--trust=somebodys", "--config", recipe, "--run=whole"]) == 0
    assert (
        main(
            ["fit", "--trust=somebodys", "--config", recipe, "--run=part", "--trainer.max_steps=2"]
        )
        == 0
    )
    assert main(["fit", "--trust=somebodys", "--config", recipe, "--resume=runs/biases/part"]) == 0
    whole, resumed = (
        torch.load(Path(f"runs/biases/{name}/checkpoints/last.ckpt"), weights_only=True)
        for name in ("whole", "part")
    )
    assert all(name.endswith(".bias") for name in whole["state_dict"])
    for key in ("state_dict", "current_model_state", "averaging_state"):
        for name, value in whole[key].items():
            assert torch.equal(value, resumed[key][name]), (key, name)
    assert whole["hyper_parameters"]["clip_skip"] == 2
    folder = Path("runs/biases/whole")
    for name in ("adapter/biases.safetensors", "samples/step_000004.png", "evaluation.json"):
        assert (folder / name).is_file(), name


def test_its_arguments_are_its_own_and_those_of_all_techniques(
    recipe: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from somebodys import BiasModule

    names = list(inspect.signature(BiasModule).parameters)
    assert names[0] == "learning_rate"
    assert {"base", "optimizer", "weight_decay", "min_snr_gamma", "seed"} <= set(names)
    assert "method" not in names
    module = BiasModule(noise_offset=0.1)
    assert set(module.hparams) == set(names)
    assert module.hparams["noise_offset"] == 0.1
    with pytest.raises(SystemExit):
        main(["fit", "--trust=somebodys", "--model.help", "somebodys.BiasModule"])
    printed = capsys.readouterr().out
    assert "Rate of the biases." in printed
    assert "Gamma of Min-SNR loss weights" in printed
    assert "--model.method" not in printed


def test_a_bad_shared_argument_is_listed_by_its_words(
    recipe: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--model.optimizer=adamww", "--model.weight_decay=-1"]
    assert main(["check", recipe, "--trust=somebodys", options[0]]) == 2
    assert "Expected `model.optimizer` to be one of 'adamw'" in capsys.readouterr().err
    assert main(["check", recipe, "--trust=somebodys", options[1]]) == 2
    assert "Expected `weight_decay` to be 0 or more, but got -1.0" in capsys.readouterr().err
