"""The pictures of each subject, and what it would look like on the prompts' backgrounds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.subject_front.split import BACKGROUNDS, GROUNDS, SEEDS, SUBJECTS
from benchmarks.subject_front.sprites import SIZE, sprites
from sdtune.nano.making.scenes import Background, Scene

__all__ = ["compose", "on_prompts"]

_HASHES = Path(__file__).parent / "pictures.json"
_SETS = Path(__file__).parents[2] / "datasets"
_WIDTHS = (0.8, 0.98)


def compose(name: str, folder: Path) -> Path:
    """Draw a subject's ten pictures, without captions.

    Args:
        name: One of `SUBJECTS`.
        folder: Where the subjects' folders are.

    Returns:
        The subject's folder. One that is there already is taken as it is.

    Raises:
        ValueError: If the pictures are not those of the record, `pictures.json`.
    """
    target = folder / name
    if target.exists():
        return target
    drawn = _shipped(name) if SUBJECTS[name].made == "set" else _placed(name)
    _check(name, drawn)
    partial = folder / f".{name}"
    partial.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(drawn):
        Image.fromarray(picture).save(partial / f"{number:02d}.png")
    partial.rename(target)
    return target


def on_prompts(name: str, size: int) -> tuple[Tensor, Tensor]:
    """Draw what the prompts ask for: the subject on each of the backgrounds.

    Args:
        name: One of `SUBJECTS`.
        size: Width and height in pixels.

    Returns:
        (P * S, 3, H, W) in [0, 1], one for each prompt and seed, prompts outside; and
        (P, 10, 3, H, W), each of the ten drawings for each prompt.
    """
    rng = np.random.Generator(np.random.Philox(key=[SUBJECTS[name].seed, 2**32]))
    every = [
        [_scene(name, number, background, rng) for number in range(10)]
        for background in BACKGROUNDS
    ]
    drawn = torch.stack([torch.stack([_shrunk(each, size) for each in row]) for row in every])
    chosen = [rng.permutation(10)[: len(SEEDS)].tolist() for _ in BACKGROUNDS]
    own = torch.cat([row[numbers] for row, numbers in zip(drawn, chosen, strict=True)])
    return own, drawn


def _shipped(name: str) -> list[np.ndarray]:
    paths = sorted((_SETS / f"subject_{name}").glob("*.png"))
    return [
        np.array(Image.open(each).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BOX))
        for each in paths
    ]


def _placed(name: str) -> list[np.ndarray]:
    rng = np.random.Generator(np.random.Philox(key=[SUBJECTS[name].seed, 0]))
    grounds = rng.permutation([each for each in GROUNDS for _ in range(2)]).tolist()
    return [
        _scene(name, number, Background("plain", (ground,)), rng)
        for number, ground in enumerate(grounds)
    ]


def _scene(name: str, number: int, background: Background, rng: np.random.Generator) -> np.ndarray:
    width = float(rng.uniform(*_WIDTHS))
    left, top = (float(rng.random()) * (1 - width) for _ in range(2))
    scene = Scene((name,), "", background, ((left, top, width),))
    return scene.draw({("", name): sprites(name)[number].convert("RGBa")}, SIZE)


def _shrunk(picture: np.ndarray, size: int) -> Tensor:
    small = Image.fromarray(picture).resize((size, size), Image.Resampling.BOX)
    return torch.from_numpy(np.array(small)).permute(2, 0, 1).float() / 255  # (3, H, W)


def _check(name: str, drawn: Sequence[np.ndarray]) -> None:
    """Compare with the record, and add what it does not have yet."""
    digest = sha256(b"".join(each.tobytes() for each in drawn)).hexdigest()
    record = json.loads(_HASHES.read_text(encoding="utf-8")) if _HASHES.exists() else {}
    if record.setdefault(name, digest) != digest:
        raise ValueError(
            f"Expected the pictures of {name} to be {record[name]}, as {_HASHES.name} has them, "
            f"but got {digest}: another version of a package or of a renderer drew them."
        )
    _HASHES.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
