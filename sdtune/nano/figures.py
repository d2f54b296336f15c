"""What nano can draw, in figures: measured on scenes that it was not trained on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPModel, CLIPTokenizer

from sdtune.models import StableDiffusion
from sdtune.nano.autoencoder import psnr
from sdtune.nano.scene_data import SceneDataset
from sdtune.nano.scenes import PALETTE, Scene, SceneComposer
from sdtune.nano.sprites import SpriteBook

__all__ = [
    "Judge",
    "background_colour",
    "caption_top1",
    "drawing_figures",
    "held_out_scenes",
    "vae_psnr",
]

_HELD_OUT_SEED = 1_000_003

Draw = Callable[[Sequence[str], Sequence[int]], Tensor]


def held_out_scenes(book: SpriteBook, count: int, seed: int = _HELD_OUT_SEED) -> list[Scene]:
    """Compose scenes of one object with complete captions, all objects alike.

    Args:
        book: The sprites.
        count: Number of scenes.
        seed: Seed of the compositions; not one of a training.
    """
    return [_held_out(book, seed).scene(number) for number in range(count)]


def _held_out(book: SpriteBook, seed: int) -> SceneComposer:
    return SceneComposer(book, seed, pair_share=0.0, well_known_share=0.0, complete_captions=True)


@torch.no_grad()
def vae_psnr(model: StableDiffusion, book: SpriteBook, count: int = 512) -> float:
    """Measure how well pictures survive the VAE, from the posterior's mean.

    Args:
        model: nano.
        book: The sprites.
        count: Number of held-out scenes.

    Returns:
        Mean peak signal-to-noise ratio in dB.
    """
    scenes = SceneDataset(_held_out(book, _HELD_OUT_SEED), model.resolution, 64, stop=count)
    ratios = []
    for batch in scenes:
        latents = model.latents_from_moments(model.encode_images(batch["pixel_values"]))
        images = 2 * model.decode_latents(latents) - 1
        ratios.append(psnr(images, batch["pixel_values"]))
    return float(torch.cat(ratios).mean())


class Judge:
    """A CLIP that names what it sees; never the one whose text encoder conditions the UNet.

    Args:
        clip: The evaluation CLIP.
        tokenizer: Its tokenizer.
    """

    def __init__(self, clip: CLIPModel, tokenizer: CLIPTokenizer) -> None:
        self.clip = clip.eval()
        self.tokenizer = tokenizer

    @torch.no_grad()
    def embed_images(self, images: Tensor) -> Tensor:
        """Embed pictures.

        Args:
            images: (B, 3, H, W) in [0, 1].

        Returns:
            (B, D) unit vectors.
        """
        output = self.clip.vision_model(pixel_values=2 * images - 1)
        return _unit(self.clip.visual_projection(output.pooler_output))

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Embed texts.

        Args:
            texts: B texts.

        Returns:
            (B, D) unit vectors.
        """
        tokens = self.tokenizer(
            list(texts), padding="max_length", truncation=True, return_tensors="pt"
        )
        output = self.clip.text_model(**tokens)
        return _unit(self.clip.text_projection(output.pooler_output))

    def named_right(self, images: Tensor, candidates: Sequence[Sequence[str]]) -> float:
        """Measure how often the first candidate fits a picture best.

        Args:
            images: (B, 3, H, W) in [0, 1].
            candidates: B lists of captions, the right one first.

        Returns:
            A share in [0, 1].
        """
        vectors = self.embed_images(images)
        hits = [
            int((self.embed_texts(texts) @ vector).argmax()) == 0
            for vector, texts in zip(vectors, candidates, strict=True)
        ]
        return float(np.mean(hits))


def caption_top1(judge: Judge, book: SpriteBook, size: int, count: int = 500) -> float:
    """Measure how often a held-out picture finds its caption among 100.

    Args:
        judge: The CLIP.
        book: The sprites.
        size: Width and height of a picture in pixels.
        count: Number of scenes, a multiple of 100.

    Returns:
        A share in [0, 1].
    """
    hits = []
    for batch in SceneDataset(_held_out(book, _HELD_OUT_SEED), size, 100, stop=count):
        images = judge.embed_images(batch["pixel_values"] / 2 + 0.5)
        answers = (images @ judge.embed_texts(batch["caption"]).T).argmax(dim=1)
        hits.append(answers == torch.arange(len(answers)))
    return float(torch.cat(hits).float().mean())


def background_colour(image: Tensor) -> str:
    """Name the colour of a picture's border: the nearest of the palette to its median.

    Args:
        image: (3, H, W) in [0, 1].

    Returns:
        A name of `PALETTE`.
    """
    border = torch.cat([image[:, 0], image[:, -1], image[:, :, 0], image[:, :, -1]], dim=1)
    colour = 255 * border.median(dim=1).values
    distances = {
        name: float((colour - torch.tensor(rgb)).square().sum()) for name, rgb in PALETTE.items()
    }
    return min(distances, key=distances.__getitem__)


@dataclass(frozen=True)
class _Questions:
    """The candidates that a judge chooses from, the right one first."""

    objects: list[list[str]]
    styles: list[list[str]]


def _questions(scenes: Sequence[Scene], book: SpriteBook, among: int) -> _Questions:
    names, styles = sorted(book.styles), sorted({style for style, _ in book.sprites})
    objects = []
    for number, scene in enumerate(scenes):
        rng = np.random.Generator(np.random.Philox(key=[_HELD_OUT_SEED, number]))
        others = rng.permutation([name for name in names if name != scene.objects[0]])
        objects.append([scene.objects[0], *map(str, others[: among - 1])])
    return _Questions(
        [
            [replace(scene, objects=(name,)).caption for name in candidates]
            for scene, candidates in zip(scenes, objects, strict=True)
        ],
        [
            [replace(scene, style=each).caption for each in sorted(styles, key=scene.style.__ne__)]
            for scene in scenes
        ],
    )


def drawing_figures(
    draw: Draw, judge: Judge, book: SpriteBook, size: int, prompts: int = 200, seeds: int = 2
) -> dict[str, float]:
    """Measure whether drawings show what their prompts name, beside real pictures of the same.

    Args:
        draw: Draws pictures (B, 3, size, size) in [0, 1] from B prompts and B seeds.
        judge: The evaluation CLIP.
        book: The sprites.
        size: Width and height of a picture in pixels.
        prompts: Number of held-out captions.
        seeds: Pictures of each.

    Returns:
        Shares in [0, 1]: `object` named right among 100, `style` among all styles, `background`
        of plain scenes by the border's colour; `real_object` and `real_style` for real pictures.
    """
    scenes = held_out_scenes(book, prompts)
    real = torch.from_numpy(np.stack([scene.draw(book.sprites, size) for scene in scenes]))
    real = real.permute(0, 3, 1, 2).float() / 255
    questions = _questions(scenes, book, among=min(100, len(book.styles)))
    captions = [scene.caption for scene in scenes]
    drawn = [draw(captions, [seed * 10_000 + n for n in range(prompts)]) for seed in range(seeds)]
    plain = [n for n, scene in enumerate(scenes) if scene.background.pattern == "plain"]
    right = [
        background_colour(images[n]) == scenes[n].background.colours[0]
        for images in drawn
        for n in plain
    ]
    return {
        "object": float(np.mean([judge.named_right(i, questions.objects) for i in drawn])),
        "style": float(np.mean([judge.named_right(i, questions.styles) for i in drawn])),
        "background": float(np.mean(right)),
        "real_object": judge.named_right(real, questions.objects),
        "real_style": judge.named_right(real, questions.styles),
    }


def _unit(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=-1, keepdim=True)
