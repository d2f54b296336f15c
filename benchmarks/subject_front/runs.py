"""Runs: each leaves one JSON and a contact sheet, and one that is there is skipped."""

from __future__ import annotations

import json
import logging
import os
import time
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from benchmarks.subject_front.arms import ARMS
from benchmarks.subject_front.pictures import compose, on_prompts
from benchmarks.subject_front.scoring import (
    SIDE,
    Drawn,
    Judge,
    Point,
    contact_sheet,
    draw,
    plain,
)
from benchmarks.subject_front.split import CLASS_PROMPTS, PROMPTS, SUBJECTS
from benchmarks.subject_front.training import built, locked, train
from sdtune import LoRAStyleModule
from sdtune.evaluation.suite import Scores
from sdtune.evaluation.undisturbed import undisturbed

__all__ = ["RESULTS", "SHEETS", "WORK", "prepare", "run", "run_name"]

RESULTS = Path(__file__).parent / "results"
WORK = Path("runs/subject_front")
SHEETS = "sheets"
"""Folder of what runs drew, a picture each: in `WORK`, or in another folder of results."""

log = logging.getLogger(__name__)

Record = dict[str, Any]


def run_name(arm: str, subject: str, seed: int) -> str:
    """Name the files of a run."""
    return f"{arm}__{subject}__{seed}"


def run(
    arm: str, subject: str, seed: int = 42, *, device: str = "cpu", out: Path = RESULTS
) -> None:
    """Train one arm on one subject, and score it after each third of the steps.

    On the CPU the last alone is scored.

    Args:
        arm: One of `ARMS`.
        subject: One of `SUBJECTS`.
        seed: Seed of the training.
        device: `cpu` or `cuda`.
        out: Folder of the results.
    """
    start, points = time.time(), dict[str, Point]()
    name, way = run_name(arm, subject, seed), ARMS[arm]
    judge, base = _judge(subject), _base(subject, device)
    module, data, steps = built(way, subject, _pictures(subject), seed, WORK / "cache")
    thirds = (steps // 3, 2 * steps // 3, steps) if device == "cuda" else (steps,)
    scored = 0.0

    def watch(trainer: Trainer, pl_module: Any, own: Any) -> None:
        nonlocal scored
        began = time.time()
        fields = own.prompt_fields
        with undisturbed(trainer, pl_module):
            drawn = draw(
                pl_module,
                [fields.tuned(each, "prompts") for each in PROMPTS],
                [fields.tuned(each, "class_prompts") for each in CLASS_PROMPTS],
            )
        points[str(trainer.global_step)], _ = judge.score(drawn, base)
        if trainer.global_step == steps:
            contact_sheet(drawn, _sheets(out) / f"{name}.jpg")
        scored += time.time() - began

    train(module, data, steps, thirds, watch, device)
    seconds = {"all": round(time.time() - start, 1), "scored": round(scored, 1)}
    settings = {key: each for key, each in asdict(way).items() if each}
    record = {**settings, "arm": arm, "subject": subject, "seed": seed, "steps": steps}
    _write(out / f"{name}.json", {**record, "device": device, "seconds": seconds, "points": points})
    last = {key: round(sum(row) / len(row), 3) for key, row in points[str(steps)].items()}
    log.warning("%s %s in %.0f s, load %.1f", name, last, seconds["all"], os.getloadavg()[0])


def prepare(out: Path = RESULTS) -> None:
    """Compose all pictures, and score the base and what the prompts ask for."""
    for name in SUBJECTS:
        file, path = WORK / "placed" / f"{name}.pt", out / f"base__{name}.json"
        if file.exists() and path.exists():
            continue
        own, every = on_prompts(name, SIDE)
        judge = Judge(name, _pictures(name), None)
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save(torch.stack([judge.embed(each) for each in every]).half(), file)
        drawn = _base_drawn(name, "cpu")
        points = {
            "base": _judge(name).score(drawn)[0],
            "own": _judge(name).score(Drawn(own, drawn.of_class))[0],
        }
        contact_sheet(drawn, _sheets(out) / f"base__{name}.jpg")
        _write(path, {"subject": name, "points": points})


def _sheets(out: Path) -> Path:
    return (WORK if out == RESULTS else out) / SHEETS


def _pictures(subject: str) -> Path:
    return compose(subject, WORK / "pictures")


@lru_cache
def _judge(subject: str) -> Judge:
    placed = torch.load(WORK / "placed" / f"{subject}.pt")
    return Judge(subject, _pictures(subject), placed)


@lru_cache
def _base(subject: str, device: str) -> Scores:
    return _judge(subject).score(_base_drawn(subject, device))[1]


def _base_drawn(subject: str, device: str) -> Drawn:
    """Draw with the base, once for all processes."""
    file = WORK / "cache" / f"base_{subject}_{device}.pt"
    with locked(file.with_suffix(".lock")):
        if not file.exists():
            prompts = [plain(each, subject) for each in PROMPTS]
            drawn = draw(
                _untuned(device), prompts, [plain(each, subject) for each in CLASS_PROMPTS]
            )
            torch.save([_bytes(each) for each in (drawn.images, drawn.of_class)], file)
    return Drawn(*(each.float() / 255 for each in torch.load(file)))


def _bytes(images: Tensor) -> Tensor:
    return (255 * images).round().byte()


@lru_cache
def _untuned(device: str) -> Any:
    module = LoRAStyleModule(base="nano", rank=1, alpha=1)
    module.load_base()
    return module.to(device)


def _write(path: Path, record: Record) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(record) + "\n", encoding="utf-8")
    partial.replace(path)
