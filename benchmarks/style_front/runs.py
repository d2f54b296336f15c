"""Runs, one after another: each leaves one JSON, and one that has all its points is skipped."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from benchmarks.style_front.arms import ARMS
from benchmarks.style_front.objects import named_right
from benchmarks.style_front.pictures import compose
from benchmarks.style_front.scoring import Judge, contact_sheet, draw, sheet, strength
from benchmarks.style_front.split import PROMPTS, SEEDS
from benchmarks.style_front.training import loaded, trained

__all__ = ["RESULTS", "STRENGTHS", "WORK", "Run", "lacks", "name_objects", "run", "score_base"]

STRENGTHS = (0.7, 1.0, 1.4)
RESULTS = Path(__file__).parent / "results"
WORK = Path("runs/style_front")

log = logging.getLogger(__name__)

Run = dict[str, Any]


def run(
    arm: str,
    style: str,
    seed: int = 42,
    *,
    strengths: Sequence[float] = STRENGTHS,
    seeds: int = len(SEEDS),
    off: Sequence[str] = (),
    device: str = "cpu",
) -> bool:
    """Train and score one arm on one style, as far as the results lack it.

    Args:
        arm: One of `ARMS`.
        style: One of `STYLES`.
        seed: Seed of the training.
        strengths: Factors of what was learned, each a point.
        seeds: Seeds with which each prompt is drawn.
        off: Parts of module names that points are scored without.
        device: `cpu` or `cuda`.

    Returns:
        Whether there was anything to do.
    """
    name = f"{arm}__{style}__{seed}"
    path = RESULTS / f"{name}.json"
    record, labels = _record(path), _labels(strengths, off)
    missing = _missing(record, labels, seeds)
    if not missing:
        return False
    start, used = time.time(), time.process_time()
    file = WORK / "weights" / f"{name}.safetensors"
    was_there = file.exists()
    module = trained(ARMS[arm], _pictures(style) / "training", seed, file, device)
    if not was_there:
        record["training_seconds"] = round(time.process_time() - used, 1)
    record["device"] = _named(device)
    for label in missing:
        with strength(module, labels[label], off):
            images = draw(module, SEEDS[:seeds])
        named = named_right(images, style, WORK / "cache", device=device)
        record["points"][label] = {**_judge(style, device).score(images, seeds), "named": named}
        contact_sheet(images, seeds, WORK / "sheets" / f"{name}__{label}.png")
    record["points"] = {**_record(path)["points"], **record["points"]}  # another may have added
    settings = {key: each for key, each in asdict(ARMS[arm]).items() if each or each == 0}
    _write(path, {**record, **settings, "arm": arm, "style": style, "seed": seed})
    means = {
        label: tuple(round(sum(each) / len(each), 2) for each in point.values())
        for label, point in record["points"].items()
    }
    log.warning("%s %s in %.0f s, load %.1f", name, means, time.time() - start, os.getloadavg()[0])
    return True


def lacks(
    arm: str,
    style: str,
    seed: int,
    *,
    strengths: Sequence[float] = STRENGTHS,
    seeds: int = len(SEEDS),
    off: Sequence[str] = (),
) -> bool:
    """Tell whether a run has points, as `run` is told them, that are not there yet."""
    record = _record(RESULTS / f"{arm}__{style}__{seed}.json")
    return bool(_missing(record, _labels(strengths, off), seeds))


def score_base(style: str, device: str = "cpu") -> None:
    """Score the base, and the style's own drawings, against one style."""
    path = RESULTS / f"base__{style}.json"
    if path.exists():
        return
    file = WORK / "cache" / "base.png"
    if not file.exists():
        contact_sheet(draw(_base(device), SEEDS), len(SEEDS), file)
    judge = _judge(style, device)
    points = {"base": dict(judge.score(sheet(file), len(SEEDS))), "own": dict(judge.own())}
    accuracy = round(judge.style.axis.accuracy, 3)
    _write(path, {"style": style, "accuracy_of_style_axis": accuracy, "points": points})


def name_objects() -> None:
    """Add, to all results, whether objects are named right, from the pictures that were kept."""
    for path in sorted(RESULTS.glob("*.json")):
        record = _record(path)
        lacking = {label: each for label, each in record["points"].items() if "named" not in each}
        for label, point in lacking.items():
            if label == "own":
                images = _judge(record["style"], "cpu").own_drawings()
            else:
                name = f"sheets/{path.stem}__{label}.png" if label != "base" else "cache/base.png"
                images = sheet(WORK / name)
            own = label == "own"
            point["named"] = named_right(images, record["style"], WORK / "cache", by_vendors=own)
        if lacking:
            _write(path, record)


def _write(path: Path, record: Run) -> None:
    path.parent.mkdir(exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(record) + "\n", encoding="utf-8")
    partial.replace(path)


def _pictures(style: str) -> Path:
    return compose(style, WORK / "pictures")


def _record(path: Path) -> Run:
    if not path.exists():
        return {"points": {}}
    record: Run = json.loads(path.read_text(encoding="utf-8"))
    return record


def _labels(strengths: Sequence[float], off: Sequence[str]) -> dict[str, float]:
    return {f"{factor:g}" + "".join(f"-{part}" for part in off): factor for factor in strengths}


def _missing(record: Run, labels: Iterable[str], seeds: int) -> list[str]:
    count = len(PROMPTS) * seeds
    points = record["points"]
    return [each for each in labels if len(points.get(each, {}).get("clip", ())) < count]


def _named(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else device


@lru_cache
def _base(device: str) -> Any:
    return loaded(device)


@lru_cache
def _judge(style: str, device: str) -> Judge:
    return Judge(_base(device), _pictures(style), WORK / "cache")
