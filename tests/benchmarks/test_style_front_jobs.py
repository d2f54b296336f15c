"""Runs of benchmarks/style_front: what is left of a plan, and candidates beside recorded passes."""

from __future__ import annotations

import json
import multiprocessing
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import sdtune.models.recorded_passes
from benchmarks.style_front import jobs, runs
from benchmarks.style_front.candidates import CANDIDATES
from benchmarks.style_front.plan import Planned
from benchmarks.style_front.split import PROMPTS
from sdtune import StyleDataModule
from sdtune.models.step_graphs import StepGraphs
from tests.fast_part import some_fast
from tests.pass_recorder import PassRecorder
from tests.picture_folders import make_picture_folder
from tests.quiet_trainer import quiet_trainer


def test_only_runs_that_lack_points_are_done_and_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = {f"{each:g}": {"clip": [0.0] * 4 * len(PROMPTS)} for each in runs.STRENGTHS}
    halves = points | {"1": {"clip": [0.0] * 2 * len(PROMPTS)}}
    for name, there in (("plain__ink__42", points), ("plain__mono__42", halves)):
        (tmp_path / f"{name}.json").write_text(json.dumps({"points": there}), encoding="utf-8")
    done: list[Any] = []
    monkeypatch.setattr(runs, "RESULTS", tmp_path)
    monkeypatch.setattr(jobs, "score_base", lambda style, device: done.append(style))
    monkeypatch.setattr(jobs, "run", lambda *run, **more: done.append(run))
    plan = [Planned("plain", style) for style in ("chalk", "ink", "mono")]
    jobs.run_all(plan)
    assert done == ["chalk", "mono", ("plain", "chalk", 42), ("plain", "mono", 42)]
    done.clear()
    jobs.run_all(plan, at_most=1)
    assert done == ["chalk", ("plain", "chalk", 42)]
    done.clear()
    jobs.run_all([Planned("plain", "mono", points={"seeds": 2})])
    assert not done


def test_a_run_is_taken_once_and_none_is_begun_that_would_end_late() -> None:
    context = multiprocessing.get_context("spawn")
    shared = jobs._Shared(context, deadline=time.time() + 60.0)
    assert [shared.taken(3), shared.taken(3)] == [0, 1]
    shared.took(5.0)
    assert shared.taken(3) == 2
    assert shared.taken(3) is None
    late = jobs._Shared(context, deadline=time.time() + 60.0)
    late.took(90.0)
    assert late.taken(3) is None


OF_EACH_KIND = ("below_only", "other_captions", "soft_level", "own_colour", "bridge_at_once")
assert set(OF_EACH_KIND) <= set(CANDIDATES)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_picture_folder(tmp_path_factory.mktemp("discs"), count=4)


@pytest.fixture(scope="module")
def plain(micro_sd: Path, pictures: Path) -> torch.Tensor:
    """Losses of the technique that no candidate changes."""
    return _learned(None, micro_sd, pictures)[0]


@pytest.mark.parametrize("name", some_fast(OF_EACH_KIND, ("bridge_at_once",)))
def test_a_candidate_learns_the_same_where_passes_are_recorded(
    micro_sd: Path,
    pictures: Path,
    plain: torch.Tensor,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    losses, learned = _learned(name, micro_sd, pictures)
    recorder = PassRecorder()
    monkeypatch.setattr(sdtune.models.recorded_passes, "StepGraphs", lambda: StepGraphs(recorder))
    also, found = _learned(name, micro_sd, pictures)
    assert recorder.replays >= 3
    torch.testing.assert_close(also, losses, rtol=0, atol=0)
    torch.testing.assert_close(found, learned, rtol=0, atol=0)
    assert not plain.equal(losses)


def _learned(name: str | None, micro_sd: Path, pictures: Path) -> tuple[torch.Tensor, Any]:
    kind = CANDIDATES[name] if name else sdtune.LoRAStyleModule
    above = None if name in (None, "below_only") else 0.5
    module = kind(str(micro_sd), rank=2, learning_rate=1e-2, keep_content_above=above)
    losses = []
    trainer = quiet_trainer(max_steps=6, accumulate_grad_batches=1)
    step = module.training_step

    def kept(*args: Any) -> Any:
        losses.append(float((found := step(*args))["loss"].detach()))
        return found

    module.training_step = kept  # type: ignore[method-assign]
    trainer.fit(module, StyleDataModule(str(pictures), batch_size=2, resolution=module.resolution))
    return torch.tensor(losses), {key: each.clone() for key, each in module.named_parameters()}
