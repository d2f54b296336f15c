"""A run folder as training and evaluation leave it, drawn and made up for the tests."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import torch
from torch.utils.tensorboard import SummaryWriter

from sdtune.data.buckets import DEFAULT_BUCKETS
from sdtune.data.scan import scan_pictures
from sdtune.data.survey import survey_pictures
from sdtune.data.survey_file import write_survey
from sdtune.evaluation.descriptions import describe_metrics
from sdtune.files import tensor_file
from sdtune.run_folder.record import (
    Base,
    Best,
    Checkpoint,
    Cost,
    Difference,
    Evaluation,
    EvaluationSettings,
    Figure,
    NearestPicture,
    Provenance,
    TrainingPictures,
    picture_name,
)
from sdtune.run_folder.sample_rows import SampleRows
from tests.picture_folders import make_picture_folder

__all__ = ["PROMPTS", "TITLE", "make_evaluation", "make_run_folder"]

PROMPTS = ['<erica> & co "at sea"', "a red car</script><script>alert(1)</script>"]
TITLE = r'copies \1 \g<x> `|` "></g></svg></section><script>alert(2)</script>'
"""Of a metric, as another package may call it."""

_STEPS = (0, 200, 400)


def make_run_folder(folder: Path) -> Path:
    """Write a finished run of 400 steps over four pictures, scored three times.

    Args:
        folder: Where to write; the training pictures go beside it.

    Returns:
        The folder.
    """
    pictures = make_picture_folder(folder.parent / "pictures")
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(
        "# sdtune 0.1.0, torch 2.13.0\nseed: 7\nmodel:\n  class_path: sdtune.LoRAStyleModule\n"
        "  init_args:\n    base: CompVis/stable-diffusion-v1-4\ndata:\n  class_path: "
        f"sdtune.StyleDataModule\n  init_args:\n    folder: {pictures}\ntrainer:\n"
        "  max_steps: 400\n",
        encoding="utf-8",
    )
    with SummaryWriter(str(folder)) as writer:
        for step in range(0, 400, 10):
            writer.add_scalar("train/loss", 0.3 + 0.05 * (step % 3), step)
            writer.add_scalar("lr-AdamW", 1e-3 * (1 - step / 400), step)
        writer.add_scalar("val/loss", 0.3, 199)
        writer.add_scalar("val/loss", 0.2, 399)
    write_survey(folder, survey_pictures(scan_pictures(pictures)[0], 512, DEFAULT_BUCKETS))
    rows = SampleRows(folder / "samples" / "rows", {"prompts": PROMPTS, "seeds": [3]}, tiles=2)
    for step in _STEPS:
        rows.write(step or None, torch.full((2, 3, 16, 16), step / 400))
    tensors = {"unet.a.lora.down.weight": torch.zeros(2, 2), "unet.a.lora.up.weight": torch.ones(2)}
    for place in ("", "step_000200", "step_000400", "best"):
        (folder / "adapter" / place).mkdir(parents=True, exist_ok=True)
        tensor_file.write(
            folder / "adapter" / place / "pytorch_lora_weights.safetensors", tensors, {}
        )
    losses = {
        f"disc_{n}.png": {"loss": 0.1, "relative_loss": 1.5 - n / 4, "count": 9 + n}
        for n in range(4)
    }
    record = {"version": 1, "pictures": losses}
    (folder / "picture_losses.json").write_text(json.dumps(record), encoding="utf-8")
    evaluation = make_evaluation(pictures)
    for checkpoint in evaluation.checkpoints:
        for position in range(len(PROMPTS)):
            path = folder / checkpoint.pictures / picture_name(position, 3)
            path.parent.mkdir(parents=True, exist_ok=True)
            # the base's pictures are black, step 400's white
            shade = checkpoint.step / 400
            SampleRows(path.parent, {}, 1).write(None, torch.full((1, 3, 16, 16), shade))
            (path.parent / "base.png").rename(path)
    evaluation.save(folder / "evaluation.json")
    return folder


def make_evaluation(pictures: Path, finished: bool = True) -> Evaluation:
    """Make the record of the base and two checkpoints, of which the second is the best."""
    metrics = describe_metrics(("clip_score", "style_score", "memorised_share"))
    metrics["memorised_share"] = replace(metrics["memorised_share"], title=TITLE)
    return Evaluation(
        finished=finished,
        base=Base("CompVis/stable-diffusion-v1-4", "ab" * 32),
        run=Provenance("style_lora", "LoRAStyleModule", 7, 400, "cpu", {"torch": "2.13.0"}),
        protocol=EvaluationSettings(
            PROMPTS, [3], [], 25, 7.5, "", "openai/clip-vit-base-patch32", None
        ),
        training_pictures=TrainingPictures(str(pictures), 4, "cd" * 32),
        metrics=metrics,
        checkpoints=[_checkpoint(step) for step in _STEPS],
        best=Best("step_000400", "The highest style score.", "Its style score is 0.62."),
        cost=Cost(41.0, 33.0, 8.0, 0.12, 340.0),
        sdtune="0.1.0",
    )


def _checkpoint(step: int) -> Checkpoint:
    label = f"step_{step:06d}" if step else "base"
    gain = step / 1000
    return Checkpoint(
        label=label,
        step=step,
        adapter=f"adapter/{label}" if step else None,
        pictures=f"evaluation/{label}",
        figures={
            "clip_score": Figure(28.13 - gain, 27.0 - gain, 29.3 - gain, 2),
            "style_score": Figure(0.22 + gain, 0.1 + gain, 0.34 + gain, 2),
            "memorised_share": Figure(0.5 if step == 400 else 0.0, 0.0, 1.0, 2),
        },
        against_base={
            "clip_score": Difference(-gain, -gain - 1.0, 1.0 - gain, "no difference seen"),
            "style_score": Difference(gain, gain - 0.1, gain + 0.1, "better"),
        }
        if step
        else {},
        nearest=[
            NearestPicture(0, 3, "disc_1.png", 0.7, 0.2, False),
            NearestPicture(1, 3, "gone.png", 0.6, 0.9, step == 400),
        ],
    )
