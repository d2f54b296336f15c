"""The split, the figures and the intervals of benchmarks/subject_front."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.subject_front import report
from benchmarks.subject_front.arms import ARMS
from benchmarks.subject_front.choice import chosen
from benchmarks.subject_front.figures import car, robot
from benchmarks.subject_front.plan import PLAN
from benchmarks.subject_front.split import (
    BACKGROUNDS,
    CLASS_PROMPTS,
    GROUNDS,
    OF_CLASS,
    PROMPTS,
    SEEDS,
    SUBJECTS,
    VARIED,
    subjects_of,
)
from benchmarks.subject_front.training import built


def test_nothing_that_is_drawn_is_trained_on() -> None:
    asked = {each.caption for each in BACKGROUNDS}
    assert len(asked) == len(PROMPTS) == 12
    assert not asked & {f"{ground} background" for ground in GROUNDS}
    assert not asked & {each.caption for each in VARIED}
    told = [each for arm in ARMS.values() for each in arm.data.get("class_prompt", ())]
    assert not {each for each in CLASS_PROMPTS[:OF_CLASS] if each in told}


def test_both_sides_have_four_subjects_and_every_arm_is_planned_once_on_each() -> None:
    assert len(subjects_of("tuning")) == len(subjects_of("held_out")) == 4
    assert len(set(PLAN)) == len(PLAN)
    assert {arm for arm, _, _ in PLAN} == set(ARMS)
    assert {subject for _, subject, _ in PLAN} == set(SUBJECTS)


@pytest.mark.slow
@pytest.mark.parametrize("figure", [robot, car])
def test_figures_have_ten_poses_that_differ_and_see_through(figure: object) -> None:
    assert callable(figure)
    drawn = [np.array(figure(number), dtype=np.float32) for number in range(0, 10, 3)]
    for number, each in enumerate(drawn):
        assert 0.1 < (each[..., 3] > 127).mean() < 0.6
        for other in drawn[:number]:
            assert np.abs(each - other).mean() > 3.0


def test_an_arm_is_the_recipe_but_for_what_it_names(tmp_path: Path) -> None:
    module, data, steps = built(ARMS["db_both_1e-3"], "robot", tmp_path, 7, tmp_path)
    assert steps == 600
    assert (module.hparams["rank"], module.hparams["learning_rate"]) == (16, 1e-3)
    assert module.seed == data.seed == 7
    assert data.concepts[0].class_noun == "robot"
    script, its_data, _ = built(ARMS["db_script_2e-3"], "robot", tmp_path, 7, tmp_path)
    assert (script.hparams["rank"], script.hparams["lr_schedule"]) == (4, "constant")
    assert its_data.concepts[0].instance_prompt == "a {subject}"


def test_intervals_are_over_subjects_and_a_way_does_not_differ_from_itself() -> None:
    generator = torch.Generator().manual_seed(0)
    count = len(PROMPTS) * len(SEEDS)
    noise = torch.rand(4, count, generator=generator, dtype=torch.float64)
    alike = report.interval(list(noise))
    assert alike.value == pytest.approx(float(noise.mean()))
    apart = report.interval(list(noise + torch.arange(4.0, dtype=torch.float64)[:, None]))
    assert apart.high - apart.low > 3 * (alike.high - alike.low) > 0
    same = report.interval(list(noise), list(noise))
    assert same.value == same.low == same.high == 0.0


def test_tables_leave_out_what_was_not_run_on_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, count = np.random.default_rng(0), len(PROMPTS) * len(SEEDS)
    pictures = {key: rng.random(count).tolist() for key in ("placed", "background", "clip_i")}
    for subject in ("robot", "panda"):
        ends = {"base": pictures, "own": pictures}
        (tmp_path / f"base__{subject}.json").write_text(json.dumps({"points": ends}))
        run = {"steps": 600, "points": {"600": pictures}}
        (tmp_path / f"db_recipe__{subject}__42.json").write_text(json.dumps(run))
    (tmp_path / "ti_recipe__robot__42.json").write_text(json.dumps(run))
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    report.results.cache_clear()
    lines = report.table(["db_recipe", "ti_recipe"], ["robot", "panda"])
    assert [line.split(" | ")[0] for line in lines[2:]] == [
        "| the base",
        "| the subject itself, on the prompts' backgrounds",
        "| DreamBooth: recipes/dreambooth.yaml",
    ]
    assert "+0.00 (+0.00 to +0.00)" in lines[-1]
    report.results.cache_clear()


def test_the_rule_takes_the_likest_checkpoint_that_copies_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, count = np.random.default_rng(0), len(PROMPTS) * len(SEEDS)

    def point(clip_i: float, copies: int) -> dict[str, list[float]]:
        return {
            "clip_i": (clip_i + 0.01 * rng.random(count)).tolist(),
            "clip_score": (80 + rng.random(count)).tolist(),
            "memorised_share": [1.0] * copies + [0.0] * (count - copies),
        }

    base = {"base": point(0.4, 0)}
    (tmp_path / "base__robot.json").write_text(json.dumps({"points": base}))
    steps = {"200": point(0.6, 2), "400": point(0.7, 10), "600": point(0.8, 40)}
    run = {"steps": 600, "points": steps}
    (tmp_path / "db_recipe__robot__42.json").write_text(json.dumps(run))
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    report.results.cache_clear()
    assert chosen("db_recipe", "robot") == "400"
    assert chosen("ti_recipe", "robot") is None
    report.results.cache_clear()
