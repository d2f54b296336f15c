"""A run whose blocks are compiled: the same losses, checkpoints and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging
from torch import Tensor

import sdtune.models.recorded_passes
from sdtune.data.style import StyleDataModule
from sdtune.models.step_graphs import StepGraphs
from sdtune.techniques import compiled_module
from sdtune.techniques.compiled_blocks import compiled_blocks
from sdtune.techniques.compiled_module import compiler_problems
from sdtune.techniques.lora_style import LoRAStyleModule
from tests.equal_states import assert_equal_states
from tests.pass_recorder import PassRecorder
from tests.picture_folders import make_picture_folder
from tests.quiet_trainer import quiet_trainer
from tests.saved_within import SavedWithin

CPU = torch.device("cpu")


class Losses(pl.Callback):
    """Keeps the loss of every step."""

    def __init__(self) -> None:
        self.found: list[Tensor] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *rest: Any) -> None:
        self.found.append(outputs["loss"].detach())


def fit(
    base: Path,
    folder: Path,
    *callbacks: pl.Callback,
    steps: int = 6,
    resume: str | None = None,
    trainer: dict[str, Any] | None = None,
    **arguments: Any,
) -> tuple[LoRAStyleModule, Tensor]:
    torch._dynamo.reset()
    pictures = folder / "discs"
    if not pictures.exists():
        make_picture_folder(pictures, count=6)
    losses = Losses()
    module = LoRAStyleModule(
        str(base),
        rank=2,
        learning_rate=1e-2,
        # where convolutions learn, all blocks' inputs have gradients: one kind of call is traced
        **{"target_modules": "all", **arguments},
    )
    data = StyleDataModule(
        str(pictures), resolution=64, batch_size=2, cache_dir=str(folder / "cache")
    )
    options = {"max_steps": steps, "callbacks": [losses, *callbacks], **(trainer or {})}
    quiet_trainer(**options).fit(module, data, ckpt_path=resume)
    return module, torch.stack(losses.found)


@pytest.fixture
def traced(monkeypatch):
    """Dynamo traces, and PyTorch runs what it has traced: quick, where kernels do not matter."""
    monkeypatch.setattr(compiled_module, "_BACKEND", "eager")


@pytest.fixture
def inductor():
    """PyTorch's compiler, whose kernels are not vectorised: these are compiled in half the time."""
    with torch._inductor.config.patch({"cpp.vec_isa_ok": False}):
        yield


@pytest.mark.slow
def test_losses_weights_and_pictures_are_those_of_a_run_without_it(
    micro_sd, tmp_path, caplog, inductor
):
    """And those of a run that is stopped and resumed are the same to the last bit."""
    same: dict[str, Any] = {"steps": 8}
    plain, expected = fit(micro_sd, tmp_path, **same)
    keep = SavedWithin(tmp_path / "last.ckpt", step=4)
    with caplog.at_level("INFO"):
        module, losses = fit(micro_sd, tmp_path, keep, compile=True, **same)
    assert len(compiled_blocks(module)) == 2
    torch.testing.assert_close(losses, expected, rtol=1e-4, atol=1e-6)
    learned = module.state_dict()
    torch.testing.assert_close(dict(learned), dict(plain.state_dict()), rtol=1e-2, atol=1e-3)
    assert module.adapter().metadata["sdtune.compile"] == "True"
    for use_adapter in (True, False):
        drawn = [
            each.generate(["a disc"], [0], num_inference_steps=2, use_adapter=use_adapter)
            for each in (plain, module)
        ]
        # the base is the same to the last bit: what draws is not compiled
        torch.testing.assert_close(*drawn, rtol=0, atol=1e-2 if use_adapter else 0)
    # a second one if something was compiled late, at the end if no five steps came after it
    lines = [each.message for each in caplog.records if each.message.startswith("Compiled")]
    assert lines[0].startswith("Compiled 2 blocks of the UNet into ")
    assert lines[-1].endswith(("s each); the run has 8.", " s; the run had 8 steps."))
    # its kernels are in the cache by now: a test of its own may have to compile them again
    resumed, later = fit(micro_sd, tmp_path, compile=True, resume=str(keep.path), **same)
    assert torch.equal(later, losses[4:])
    assert_equal_states(module, resumed)


@pytest.mark.slow
def test_an_average_and_checkpointing_are_those_of_a_run_without_it(micro_sd, tmp_path, traced):
    states = []
    for is_compiled in (False, True):
        average = EMAWeightAveraging(decay=0.5)
        module, _ = fit(
            micro_sd, tmp_path, average, compile=is_compiled, gradient_checkpointing=True
        )
        states.append(module.state_dict())
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value)


@pytest.mark.slow
def test_compiled_blocks_are_recorded_as_a_part_of_the_passes(
    micro_sd, tmp_path, traced, monkeypatch
):
    """In half precision, where norms and adapters ask whether autocast is on."""
    half = {"precision": "bf16-mixed"}
    plain, expected = fit(micro_sd, tmp_path, trainer=half)
    recorder = PassRecorder()
    monkeypatch.setattr(sdtune.models.recorded_passes, "StepGraphs", lambda: StepGraphs(recorder))
    module, losses = fit(micro_sd, tmp_path, trainer=half, compile=True)
    assert recorder.replays >= 3
    torch.testing.assert_close(losses, expected)
    torch.testing.assert_close(dict(module.state_dict()), dict(plain.state_dict()))


def test_it_is_off_by_default_and_only_training_compiles(micro_sd, traced):
    assert LoRAStyleModule(str(micro_sd)).hparams["compile"] is False
    module = LoRAStyleModule(str(micro_sd), rank=2, compile=True)
    module.load_base()
    assert compiled_blocks(module) == []


def test_a_machine_without_a_compiler_is_refused_before_the_first_step(micro_sd, tmp_path):
    refused = pytest.raises(ValueError, match=r"`model.compile` to be false .*install g\+\+")
    with torch._inductor.config.patch({"cpp.cxx": ("no_such_compiler",)}), refused:
        fit(micro_sd, tmp_path, compile=True)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [({"use_dora": True}, "`model.use_dora` true"), ({"adapter_type": "lokr"}, "lokr")],
)
def test_layers_that_cannot_be_compiled_are_refused(micro_sd, tmp_path, arguments, named):
    with pytest.raises(ValueError, match=f"`model.compile` to be false with DoRA.*{named}"):
        fit(micro_sd, tmp_path, compile=True, **arguments)


def test_a_quantised_base_is_refused(micro_sd, tmp_path):
    with pytest.raises(ValueError, match=r"`model.compile` to be false with `model.quantization`"):
        fit(micro_sd, tmp_path, compile=True, quantization="nf4")


def test_a_file_of_such_layers_is_refused(micro_sd, tmp_path):
    trained = LoRAStyleModule(str(micro_sd), rank=2, adapter_type="loha")
    trained.load_base()
    trained.adapter().save(tmp_path)
    module = LoRAStyleModule(str(micro_sd), compile=True, adapter=str(tmp_path))
    assert any("`compile` to be false with DoRA" in line for line in module.problems())


def test_missing_headers_and_other_devices_are_named(monkeypatch):
    assert compiler_problems(CPU) == []
    [problem] = compiler_problems(torch.device("mps"))
    assert "`mps`" in problem
    monkeypatch.setattr(compiled_module.sysconfig, "get_paths", lambda: {"include": "/nowhere"})
    [problem] = compiler_problems(CPU)
    assert "/nowhere/Python.h" in problem
    assert "python3-dev" in problem


def test_a_gpu_needs_triton_and_a_c_compiler(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (6, 1))
    monkeypatch.setattr(compiled_module, "find_spec", lambda _: None)
    monkeypatch.setattr(compiled_module.shutil, "which", lambda _: None)
    monkeypatch.delenv("CC", raising=False)
    problems = compiler_problems(torch.device("cuda"))
    for word, problem in zip(("pip install triton", "has 6.1", "`CC`"), problems, strict=True):
        assert word in problem
