"""What a run has left, to be compared with what another one has: see `tests.kill_soak`."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sdtune.files import tensor_file

__all__ = ["lost_points", "outcome", "spelled", "torn_files"]


def outcome(run: Path) -> dict[str, Any]:
    """Collect all that a run has left, but for times, names of processes and records of starts."""
    found: dict[str, Any] = {
        str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest()
        for room in ("adapter", "samples")
        for path in sorted((run / room).rglob("*"))
        if path.is_file()
    }
    for path in sorted((run / "checkpoints").glob("*.ckpt")):
        content = torch.load(path, weights_only=True)
        tensors = [content["state_dict"], content["optimizer_states"], content["lr_schedulers"]]
        found[path.name] = hashlib.sha256("".join(spelled(tensors)).encode()).hexdigest()
    events = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
    for tag in events.Tags()["scalars"]:
        found[tag] = [(each.step, each.value) for each in events.Scalars(tag)]
    found["leftovers"] = [str(path) for path in run.rglob("*.tmp")]
    return found


def spelled(content: Any) -> Iterator[str]:
    """Spell out nested dictionaries and lists, tensors by their bytes."""
    if isinstance(content, torch.Tensor):
        yield hashlib.sha256(content.contiguous().view(-1).view(torch.uint8).numpy()).hexdigest()
    elif isinstance(content, dict):
        for key in sorted(content, key=str):
            yield str(key)
            yield from spelled(content[key])
    elif isinstance(content, list | tuple):
        for each in content:
            yield from spelled(each)
    else:
        yield repr(content)


def lost_points(expected: Mapping[str, Any], found: Mapping[str, Any]) -> int:
    """Count points of curves that are missing, and those that are there twice."""
    lost = 0
    for tag, points in expected.items():
        if isinstance(points, list) and tag != "leftovers":
            before, now = Counter(points), Counter(found.get(tag, []))
            lost += (before - now).total() + (now - before).total()
    return lost


def torn_files(run: Path) -> list[Path]:
    """List files that have their names and cannot be read, as none may be at any moment."""
    return [each for each in sorted(run.rglob("*")) if each.is_file() and not _is_whole(each)]


def _is_whole(path: Path) -> bool:
    try:
        if path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".safetensors":
            tensor_file.read_tensors(path)
        elif path.suffix == ".png":
            with Image.open(path) as picture:
                picture.load()
        elif path.suffix == ".ckpt":  # the manifest may not know one that was to be deleted
            with ZipFile(path) as archive:
                return archive.testzip() is None
    except (BadZipFile, OSError, ValueError):
        return False
    return True
