"""What a trained module draws, scored: how much style, and how much of the prompt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.style_front.split import PROMPTS
from sdtune import LoRAStyleModule
from sdtune.adapters.lora.layers import ADAPTER_NAME, lora_layers
from sdtune.evaluation.style import StyleJudge
from sdtune.metrics.clip_score import clip_score
from sdtune.metrics.features import CLIPEmbedder, load_clip
from sdtune.models import sample
from sdtune.models.devices import brought_to

__all__ = ["Judge", "Point", "contact_sheet", "draw", "sheet", "strength"]

STEPS, GUIDANCE = 15, 3.0
_AT_ONCE = {"cpu": 8, "cuda": 64}  # pictures that are drawn in one batch
_CONTRAST = 2 * len(PROMPTS)  # training pictures whose captions the base draws
_CONTRAST_SEED = 2_000_000

Point = Mapping[str, list[float]]


class Judge:
    """Scores pictures of the prompts against one style.

    Args:
        module: Anything around the base, on the device that judges.
        pictures: Folder of the style: `training` and `unseen`.
        cache: Folder where what the base draws is kept.
    """

    def __init__(self, module: LoRAStyleModule, pictures: Path, cache: Path) -> None:
        training = sorted((pictures / "training").glob("*.png"))
        size = module.model.resolution
        some = training[:: max(1, len(training) // _CONTRAST)][:_CONTRAST]
        captions = [each.with_suffix(".txt").read_text(encoding="utf-8").strip() for each in some]
        file = cache / f"contrast_{pictures.name}.png"
        if not file.exists():
            seeds = range(_CONTRAST_SEED, _CONTRAST_SEED + len(some))
            with module.untuned():
                drawn = _drawn(module, captions, list(seeds))
            contact_sheet(drawn, len(some) // len(PROMPTS), file)
        self.device = module.model.device
        contrast = sheet(file).to(self.device)
        training = [_read(some, size).to(self.device)]
        self.style = StyleJudge.fitted(module.model, training, contrast)
        self.unseen = [pictures / "unseen" / f"{name.replace(' ', '_')}.png" for name in _objects()]
        self.size = size

    def score(self, images: Tensor, repeats: int) -> Point:
        """Score pictures.

        Args:
            images: (B, 3, H, W) in [0, 1], prompts outside and seeds inside.
            repeats: Number of seeds.

        Returns:
            Metric -> a value per picture.
        """
        clip, texts = _clip(str(self.device))
        vectors = clip.embed_images(images)
        scores = clip_score(vectors, texts.repeat_interleave(repeats, dim=0))
        values = {"style": self.style.scores(images.to(self.device)), "clip": scores}
        return {name: [round(float(each), 4) for each in row] for name, row in values.items()}

    def own(self) -> Point:
        """Score the style's own drawings of the prompts' objects: what could be reached."""
        return self.score(self.own_drawings(), 1)

    def own_drawings(self) -> Tensor:
        """Read the style's own drawings of the prompts' objects: (12, 3, H, W) in [0, 1]."""
        return _read(self.unseen, self.size)


def draw(module: LoRAStyleModule, seeds: Sequence[int]) -> Tensor:
    """Draw every prompt with every seed: (B, 3, H, W) in [0, 1] on the CPU, prompts outside."""
    prompts = [each for each in PROMPTS for _ in seeds]
    return _drawn(module, prompts, list(seeds) * len(PROMPTS))


@contextmanager
def strength(module: LoRAStyleModule, factor: float, off: Sequence[str] = ()) -> Iterator[None]:
    """Scale what was learned, for a while.

    Args:
        module: The trained module.
        factor: 1 is as trained.
        off: Parts of module names whose updates are switched off.
    """
    layers = lora_layers(module.model.unet)
    before = {name: each.scaling[ADAPTER_NAME] for name, each in layers.items()}
    for name, each in layers.items():
        own = 0.0 if any(part in name for part in off) else factor
        each.scaling[ADAPTER_NAME] = own * before[name]
    try:
        yield
    finally:
        for name, each in layers.items():
            each.scaling[ADAPTER_NAME] = before[name]


def contact_sheet(images: Tensor, seeds: int, path: Path) -> None:
    """Write pictures as one: a column for each prompt, a row for each seed."""
    _, _, height, width = images.shape
    pixels = (255 * images).round().byte().permute(0, 2, 3, 1).numpy()
    rows = pixels.reshape(-1, seeds, height, width, 3).transpose(1, 2, 0, 3, 4)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    Image.fromarray(rows.reshape(seeds * height, -1, 3)).save(partial, format="PNG")
    partial.replace(path)


def sheet(path: Path) -> Tensor:
    """Read pictures that `contact_sheet` wrote: (B, 3, H, W), prompts outside."""
    pixels = torch.from_numpy(np.array(Image.open(path))).float() / 255
    height, width, _ = pixels.shape
    side = width // len(PROMPTS)
    rows = pixels.reshape(height // side, side, len(PROMPTS), side, 3)
    return rows.permute(2, 0, 4, 1, 3).reshape(-1, 3, side, side)


def _drawn(module: LoRAStyleModule, prompts: Sequence[str], seeds: Sequence[int]) -> Tensor:
    model = module.model
    with brought_to(model.device, model.vae, model.text_encoders):
        drawn = sample(
            model,
            prompts,
            seeds=seeds,
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            batch_size=_AT_ONCE[model.device.type],
        )
    return (255 * drawn.cpu()).round() / 255  # as a file holds them, and can be scored again


def _objects() -> list[str]:
    from benchmarks.style_front.split import UNSEEN

    return list(UNSEEN)


@lru_cache
def _clip(device: str) -> tuple[CLIPEmbedder, Tensor]:
    clip = load_clip().to(device)
    return clip, clip.embed_texts(PROMPTS)


def _read(paths: Sequence[Path], size: int) -> Tensor:
    pictures = [Image.open(each).resize((size, size), Image.Resampling.BOX) for each in paths]
    return (
        torch.stack([torch.from_numpy(np.array(each)) for each in pictures])
        .permute(0, 3, 1, 2)
        .float()
        / 255
    )
