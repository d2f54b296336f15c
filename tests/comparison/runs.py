"""Run folders as finished runs leave them, without training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image

from sdtune.comparison.execution import Outcome
from sdtune.comparison.results import ComparedRun
from sdtune.metrics.intervals import bootstrap_interval, paired_interval, verdict
from sdtune.run_folder.curves import Curve
from sdtune.run_folder.record import (
    Base,
    Checkpoint,
    Difference,
    Evaluation,
    EvaluationSettings,
    Figure,
    MetricDescription,
    Provenance,
    TrainingPictures,
    picture_name,
)

PROTOCOL = EvaluationSettings(
    prompts=["a {subject} on a pink background", "a {subject} on a blue background"],
    seeds=[0, 1],
    class_prompts=[],
    num_inference_steps=2,
    guidance_scale=4.0,
    negative_prompt="",
    clip="nano",
    dino=None,
)
BASE_SCORES = (20.0, 21.0, 22.0, 23.0)
CLIP_SCORE = MetricDescription("CLIP score", True, "How well pictures fit their prompts.")


def make_evaluation(
    scores: Sequence[float], subject: str = "cat", base_scores: Sequence[float] = BASE_SCORES
) -> Evaluation:
    """The record of a run whose samples scored so, two prompts by two seeds."""
    tuned, base = torch.tensor(scores), torch.tensor(base_scores)
    names = ([0, 0, 1, 1], [0, 1, 0, 1])
    difference = paired_interval(tuned, base, *names)
    told = verdict(difference, CLIP_SCORE.higher_is_better)
    checkpoints = [
        Checkpoint("base", 0, None, "evaluation/base", *_scored(base_scores)),
        Checkpoint(
            label="step_000002",
            step=2,
            adapter="adapter",
            pictures="evaluation/step_000002",
            figures=_scored(scores)[0],
            per_sample=_scored(scores)[1],
            against_base={
                "clip_score": Difference(difference.value, difference.low, difference.high, told)
            },
        ),
    ]
    prompts = [prompt.replace("{subject}", subject) for prompt in PROTOCOL.prompts]
    return Evaluation(
        finished=True,
        base=Base("nano", "f00d"),
        run=Provenance("toy", "Toy", 42, 2, "cpu", {"torch": "2"}),
        protocol=replace(PROTOCOL, prompts=prompts),
        training_pictures=TrainingPictures("pictures", 2, "abcd"),
        metrics={"clip_score": CLIP_SCORE},
        checkpoints=checkpoints,
    )


def _scored(scores: Sequence[float]) -> tuple[dict[str, Figure], dict[str, list[float]]]:
    found = bootstrap_interval(torch.tensor(scores), [0, 0, 1, 1], [0, 1, 0, 1])
    figure = Figure(found.value, found.low, found.high, len(scores))
    return {"clip_score": figure}, {"clip_score": list(scores)}


def make_result(
    name: str,
    scores: Sequence[float] | None = None,
    losses: Sequence[float] = (),
    folder: Path = Path("runs"),
    subject: str = "cat",
    base_scores: Sequence[float] = BASE_SCORES,
) -> ComparedRun:
    """A finished run, or without scores one that failed."""
    status = "failed" if scores is None else "finished"
    reason = "Expected the loss to be finite, but got nan." if scores is None else ""
    command = f"sdtune fit --config=recipes/toy.yaml --run={name}"
    record = Outcome(name, status, reason, command, 90.0, str(folder / name))
    result = ComparedRun(name, name, record, subject)
    if scores is None:
        return result
    curve = Curve("train/loss", range(len(losses)), list(losses)) if losses else None
    return replace(result, evaluation=make_evaluation(scores, subject, base_scores), loss=curve)


def draw_pictures(result: ComparedRun) -> None:
    """The pictures that the result's evaluation scored: grey, lighter with each checkpoint."""
    assert result.evaluation is not None
    for shade, checkpoint in enumerate(result.evaluation.checkpoints):
        folder = result.folder / checkpoint.pictures
        folder.mkdir(parents=True)
        for prompt in range(2):
            for seed in PROTOCOL.seeds:
                picture = Image.new("RGB", (16, 16), (100 + 50 * shade,) * 3)
                picture.save(folder / picture_name(prompt, seed))
