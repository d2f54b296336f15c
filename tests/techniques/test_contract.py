"""What holds for every technique: one test each, over all of them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor

from sdtune.models import load
from sdtune.techniques.base import DiffusionFineTuningModule
from tests.equal_states import assert_equal_states
from tests.picture_folders import make_picture_folder
from tests.quiet_trainer import quiet_trainer
from tests.saved_within import SavedWithin
from tests.techniques.drawn_elsewhere import drawn
from tests.techniques.every_technique import LYCORIS, TECHNIQUES, Build, data_for

ROOT = Path(__file__).parents[2]
EVERY = {**TECHNIQUES, **LYCORIS}

XL = ("lora_text_encoder", "pivotal_tuning_text_encoder", "multi_concept")
"""Techniques that are tried on Stable Diffusion XL too: what learns is in one of them at least."""

WITH_TEXT_ENCODERS = ("lora_text_encoder", "dreambooth", "pivotal_tuning_text_encoder")
"""Techniques for which `clip_skip` decides which layers learn; the first is on SDXL too."""

DRAWN_ELSEWHERE = (
    "lora_text_encoder",
    "dora",
    "dreambooth_full",
    "textual_inversion",
    "pivotal_tuning_text_encoder",
    "multi_concept",
    *LYCORIS,
)
"""Techniques with all that files hold: the files of the others hold a part of what these do."""


def _cases(
    quick: Collection[str] = tuple(EVERY),
    on_xl: Collection[str] = XL,
    names: Collection[str] = tuple(EVERY),
) -> list[Any]:
    """List techniques with bases; those that are not quick are slow."""
    return [
        pytest.param(
            EVERY[name],
            base,
            id=f"{name}-{base}",
            marks=[] if base == "micro_sd" and name in quick else [pytest.mark.slow],
        )
        for base, tried in (("micro_sd", names), ("shallow_xl", on_xl))
        for name in tried
    ]


ON_EVERY_FAMILY = pytest.mark.parametrize(("build", "base"), _cases(), indirect=["base"])
# on Stable Diffusion XL what learns in the others is in these together
RESUMED = pytest.mark.parametrize(
    ("build", "base"),
    _cases(
        quick=("textual_inversion", "multi_concept"),
        on_xl=("pivotal_tuning_text_encoder", "multi_concept"),
    ),
    indirect=["base"],
)


@pytest.fixture
def base(request: pytest.FixtureRequest) -> Path:
    """Folder of a small base, by the name of its fixture."""
    path: Path = request.getfixturevalue(request.param)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_picture_folder(tmp_path_factory.mktemp("discs"))


def _fit(
    module: DiffusionFineTuningModule,
    folder: Path,
    run: Path,
    max_steps: int = 2,
    ckpt_path: Path | None = None,
    **arguments: Any,
) -> pl.Trainer:
    # pictures are encoded, and class pictures drawn, once for all
    data = data_for(module, folder, cache_dir=str(folder.parent / "cache"))
    trainer = quiet_trainer(max_steps=max_steps, default_root_dir=run, **arguments)
    trainer.fit(module, data, ckpt_path=ckpt_path)
    return trainer


def _frozen(module: DiffusionFineTuningModule) -> dict[str, Tensor]:
    return {
        name: parameter.detach().clone()
        for name, parameter in module.model.named_parameters()
        if not parameter.requires_grad
    }


def _learned(module: DiffusionFineTuningModule) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


@ON_EVERY_FAMILY
def test_a_fresh_adapter_changes_nothing(build: Build, base: Path) -> None:
    module = build(str(base))
    arguments = (["a red <disc>"], [7])
    tuned = module.generate(*arguments, num_inference_steps=2)
    untuned = module.generate(*arguments, num_inference_steps=2, use_adapter=False)
    torch.testing.assert_close(tuned, untuned, rtol=0, atol=0)


@ON_EVERY_FAMILY
def test_training_moves_what_learns_and_nothing_else(
    build: Build, base: Path, folder: Path, tmp_path: Path
) -> None:
    module = build(str(base))
    module.load_base()
    frozen, learned = _frozen(module), _learned(module)
    trainer = _fit(module, folder, tmp_path)
    assert trainer.global_step == 2
    for name, value in _frozen(module).items():
        assert torch.equal(value, frozen[name]), name
    moved = [name for name, value in _learned(module).items() if not value.equal(learned[name])]
    assert moved, "nothing was learned"
    assert all(value.dtype == torch.float32 for value in learned.values())


@RESUMED
def test_a_checkpoint_is_small_names_its_base_and_is_gone_on_from_exactly(
    build: Build, base: Path, folder: Path, tmp_path: Path
) -> None:
    whole, path = build(str(base)), tmp_path / "last.ckpt"
    # two steps an epoch: it is written within the second, and the run stops within the third
    _fit(whole, folder, tmp_path, max_steps=5, callbacks=[SavedWithin(path, step=3)])
    checkpoint = torch.load(path, weights_only=True)
    assert checkpoint["global_step"] == 3
    assert set(checkpoint["state_dict"]) == set(_learned(whole))
    assert checkpoint["base_sha256"]["unet"] == load(base).fingerprint("unet")
    second = build(str(base))
    trainer = _fit(second, folder, tmp_path, max_steps=5, ckpt_path=path)
    assert trainer.global_step == 5
    assert_equal_states(whole, second)


@RESUMED
def test_what_was_learned_in_half_precision_is_gone_on_with_in_float32(
    build: Build, base: Path, folder: Path, tmp_path: Path
) -> None:
    """Nothing that was rounded for the first Trainer is left for the second."""
    module, fresh = build(str(base)), build(str(base))
    _fit(module, folder, tmp_path, max_steps=1, precision="bf16-mixed")
    fresh.load_base()
    fresh.load_state_dict(module.state_dict())
    frozen, learned = _frozen(fresh), _learned(module)
    module.load_base(torch.float32)
    assert all(value.equal(learned[name]) for name, value in _learned(module).items())
    for name, value in _frozen(module).items():
        assert torch.equal(value, frozen[name]), name
    _fit(module, folder, tmp_path, max_steps=1)
    _fit(fresh, folder, tmp_path, max_steps=1)
    assert_equal_states(module, fresh)


@pytest.mark.parametrize("name", ["lora", pytest.param("dreambooth_full", marks=pytest.mark.slow)])
def test_a_checkpoint_of_another_base_is_refused(
    name: str, micro_sd: Path, folder: Path, tmp_path: Path
) -> None:
    """Also where the UNet itself learns, and is told by what it was before."""
    path = tmp_path / "last.ckpt"
    _fit(EVERY[name](str(micro_sd)), folder, tmp_path, callbacks=[SavedWithin(path, step=1)])
    other = EVERY[name](str(micro_sd))
    other.load_base()
    other.model.unet.conv_in.weight.data += 1
    other.model._fingerprints.clear()
    with pytest.raises(ValueError, match="trained on another base"):
        _fit(other, folder, tmp_path, ckpt_path=path)


@pytest.mark.parametrize(
    ("build", "base", "clip_skip"),
    [
        *(pytest.param(*each.values, 2, id=f"{each.id}-2", marks=each.marks) for each in _cases()),
        *(
            pytest.param(*each.values, 1, id=f"{each.id}-1", marks=pytest.mark.slow)
            for each in _cases(names=WITH_TEXT_ENCODERS, on_xl=WITH_TEXT_ENCODERS[:1])
        ),
    ],
    indirect=["base"],
)
def test_all_that_learns_has_a_gradient(build: Build, clip_skip: int, base: Path) -> None:
    module = build(str(base))
    module.clip_skip = clip_skip
    module.load_base()
    moments = torch.randn(2, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    batch = {"moments": moments, "caption": ["a <disc>", "a cup"], "index": [0, 1]}
    batch |= {f"class_{name}": value for name, value in batch.items()}
    module.training_step(batch, 0)["loss"].backward()
    grouped = [each for group in module.parameter_groups() for each in group["params"]]
    assert all(each.grad is not None for each in grouped)
    assert {id(each) for each in grouped} == {id(each) for each in module.parameters()}
    assert len(grouped) == len({id(each) for each in grouped})
    trained = {id(each) for each in module.model.parameters() if each.requires_grad}
    assert trained == {id(each) for each in grouped}


@pytest.mark.slow
def test_saved_adapters_draw_the_same_pictures_in_a_new_process(
    micro_sd: Path, shallow_xl: Path, tmp_path: Path, quick_python: Path
) -> None:
    expected = {}
    on_xl = ("pivotal_tuning_text_encoder", "multi_concept")
    for base, names in ((micro_sd, DRAWN_ELSEWHERE), (shallow_xl, on_xl)):
        for name in names:
            module = EVERY[name](str(base))
            module.load_base()
            with torch.no_grad():
                for number, each in enumerate(module.parameters()):
                    generator = torch.Generator().manual_seed(number)
                    each.add_(0.02 * torch.randn(each.shape, generator=generator))
            run = tmp_path / base.name / name
            module.adapter().save(run / "adapter", module.adapter_metadata())
            (run / "base").write_text(str(base))
            module.model.eval()
            expected[run] = drawn(module.model.pipeline())
    words = [quick_python, "-m", "tests.techniques.drawn_elsewhere", *expected]
    subprocess.run(list(map(str, words)), check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    for run, images in expected.items():
        found = torch.load(run / "drawn.pt", weights_only=True)
        # a file's matrices are scaled by alpha / rank, which rounds where that is no power of two
        torch.testing.assert_close(found, images, rtol=0, atol=1e-5, msg=f"{run} differs")
