"""Runs, one after another: each leaves one JSON, and one that has all its points is skipped."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from benchmarks.style_front.arms import ARMS
from benchmarks.style_front.objects import named_right, sheet
from benchmarks.style_front.pictures import compose
from benchmarks.style_front.scoring import Judge, contact_sheet, draw, strength
from benchmarks.style_front.split import SEEDS
from benchmarks.style_front.training import loaded, trained

__all__ = ["RESULTS", "Run", "name_objects", "run", "score_base"]

RESULTS = Path(__file__).parent / "results"
WORK = Path("runs/style_front")

log = logging.getLogger(__name__)

Run = dict[str, Any]


def run(
    arm: str,
    style: str,
    seed: int = 42,
    *,
    strengths: Sequence[float] = (1.0, 1.4),
    seeds: int = 2,
    off: Sequence[str] = (),
) -> bool:
    """Train and score one arm on one style, as far as the results lack it.

    Args:
        arm: One of `ARMS`.
        style: One of `STYLES`.
        seed: Seed of the training.
        strengths: Factors of what was learned, each a point.
        seeds: Seeds with which each prompt is drawn.
        off: Parts of module names that points are scored without.

    Returns:
        Whether there was anything to do.
    """
    name = f"{arm}__{style}__{seed}"
    path = RESULTS / f"{name}.json"
    record: Run = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    record.setdefault("points", {})
    labels = {f"{factor:g}" + "".join(f"-{part}" for part in off): factor for factor in strengths}
    missing = [
        each for each in labels if len(record["points"].get(each, {}).get("clip", ())) < 12 * seeds
    ]
    if not missing:
        return False
    start, used = time.time(), time.process_time()
    file = WORK / "weights" / f"{name}.safetensors"
    was_there = file.exists()
    module = trained(ARMS[arm], _pictures(style) / "training", seed, file)
    if not was_there:
        record["training_seconds"] = round(time.process_time() - used, 1)
    for label in missing:
        with strength(module, labels[label], off):
            images = draw(module, SEEDS[:seeds])
        named = named_right(images, style)
        record["points"][label] = {**_judge(style).score(images, seeds), "named": named}
        contact_sheet(images, seeds, WORK / "sheets" / f"{name}__{label}.png")
        settings = {key: each for key, each in asdict(ARMS[arm]).items() if each or each == 0}
        _write(path, {**settings, "arm": arm, "style": style, "seed": seed, **record})
    means = {
        label: tuple(round(sum(each) / len(each), 2) for each in point.values())
        for label, point in record["points"].items()
    }
    log.warning("%s %s in %.0f s, load %.1f", name, means, time.time() - start, os.getloadavg()[0])
    return True


def score_base(style: str) -> None:
    """Score the base, and the style's own drawings, against one style."""
    path = RESULTS / f"base__{style}.json"
    if path.exists():
        return
    module = _base()
    file = WORK / "cache" / "base.pt"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save(draw(module, SEEDS), file)
    judge = _judge(style)
    base = torch.load(file)
    contact_sheet(base, len(SEEDS), WORK / "sheets" / "base.png")
    points = {"base": dict(judge.score(base, len(SEEDS))), "own": dict(judge.own())}
    accuracy = round(judge.style.axis.accuracy, 3)
    _write(path, {"style": style, "accuracy_of_style_axis": accuracy, "points": points})


def name_objects() -> None:
    """Add, to all results, whether objects are named right, from the pictures that were kept."""
    for path in sorted(RESULTS.glob("*.json")):
        record: Run = json.loads(path.read_text(encoding="utf-8"))
        lacking = {label: each for label, each in record["points"].items() if "named" not in each}
        for label, point in lacking.items():
            if label == "own":
                images = _judge(record["style"]).own_drawings()
            else:
                name = "base" if label == "base" else f"{path.stem}__{label}"
                images = sheet(WORK / "sheets" / f"{name}.png")
            point["named"] = named_right(images, record["style"], by_vendors=label == "own")
        if lacking:
            _write(path, record)


def _write(path: Path, record: Run) -> None:
    path.parent.mkdir(exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(record) + "\n", encoding="utf-8")
    partial.replace(path)


def _pictures(style: str) -> Path:
    return compose(style, WORK / "pictures")


@lru_cache
def _base() -> Any:
    return loaded()


@lru_cache
def _judge(style: str) -> Judge:
    return Judge(_base(), _pictures(style), WORK / "cache")
