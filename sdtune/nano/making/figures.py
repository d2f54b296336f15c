"""What nano can draw, in figures: measured on scenes that it was not trained on."""

import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPModel, CLIPTokenizer

from sdtune.models import StableDiffusion
from sdtune.nano.making.autoencoder import psnr
from sdtune.nano.making.scene_data import SceneDataset
from sdtune.nano.making.scenes import PALETTE, Scene, SceneComposer
from sdtune.nano.making.sprites import SpriteBook

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


def held_out_scenes(book: SpriteBook, count: int, pairs: bool = False) -> list[Scene]:
    """Compose scenes with complete captions, all objects alike, by a seed that trains nothing.

    Args:
        book: The sprites.
        count: Number of scenes.
        pairs: Two objects in each scene instead of one.
    """
    composer = _held_out(book, pair_share=float(pairs))
    scenes = map(composer.scene, itertools.count())
    # two objects that no style has in common become a scene of one
    return list(itertools.islice((s for s in scenes if len(s.objects) == 1 + pairs), count))


def _held_out(book: SpriteBook, pair_share: float = 0.0) -> SceneComposer:
    return SceneComposer(book, _HELD_OUT_SEED, pair_share, 0.0, complete_captions=True)


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
    scenes = SceneDataset(_held_out(book), model.resolution, 64, stop=count)
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

    def named_right(self, images: Tensor, candidates: Sequence[Sequence[str]]) -> np.ndarray:
        """Tell of each picture whether the first candidate fits it best.

        Args:
            images: (B, 3, H, W) in [0, 1].
            candidates: B lists of captions, the right one first.

        Returns:
            (B,) bool.
        """
        vectors = self.embed_images(images)
        hits = [
            int((self.embed_texts(texts) @ vector).argmax()) == 0
            for vector, texts in zip(vectors, candidates, strict=True)
        ]
        return np.array(hits)


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
    for batch in SceneDataset(_held_out(book), size, 100, stop=count):
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


def _other_objects(scene: Scene, place: int, book: SpriteBook, among: int) -> list[str]:
    """List the scene's caption, and others that name another object at one place."""
    right = scene.objects[place]
    digest = hashlib.sha256(f"{place} {scene.caption}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
    others = rng.permutation([name for name in sorted(book.styles) if name != right])
    return [
        replace(
            scene, objects=(*scene.objects[:place], str(name), *scene.objects[place + 1 :])
        ).caption
        for name in (right, *others[: among - 1])
    ]


def _other_styles(scene: Scene, book: SpriteBook) -> list[str]:
    """List the scene's caption, and those that name another style."""
    styles = sorted({style for style, _ in book.sprites}, key=scene.style.__ne__)
    return [replace(scene, style=style).caption for style in styles]


def _objects_share(
    judge: Judge, book: SpriteBook, images: Tensor, scenes: Sequence[Scene]
) -> float:
    """Return how often all objects of a picture are named right."""
    among = min(100, len(book.styles))
    named = [
        judge.named_right(images, [_other_objects(scene, place, book, among) for scene in scenes])
        for place in range(len(scenes[0].objects))
    ]
    return float(np.logical_and.reduce(named).mean())


def _style_share(judge: Judge, book: SpriteBook, images: Tensor, scenes: Sequence[Scene]) -> float:
    """Return how often the style of a picture is named right."""
    return float(judge.named_right(images, [_other_styles(scene, book) for scene in scenes]).mean())


def drawing_figures(
    draw: Draw, judge: Judge, book: SpriteBook, size: int, prompts: int = 200, seeds: int = 2
) -> dict[str, float]:
    """Measure whether drawings show what their prompts name, beside real pictures of the same.

    Args:
        draw: Draws pictures (B, 3, size, size) in [0, 1] from B prompts and B seeds.
        judge: The evaluation CLIP.
        book: The sprites.
        size: Width and height of a picture in pixels.
        prompts: Number of held-out captions of one object; half as many of two.
        seeds: Pictures of each.

    Returns:
        Shares in [0, 1]: `object` named right among 100, `style` among all styles, `pair` with
        both objects named right, `background` of plain scenes by the border's colour;
        `real_object`, `real_style` and `real_pair` for real pictures.
    """
    figures: dict[str, float] = {}
    for name, pairs, count in (("object", False, prompts), ("pair", True, prompts // 2)):
        scenes = held_out_scenes(book, count, pairs)
        if not scenes:
            continue
        captions = [scene.caption for scene in scenes]
        real = _pictures(scenes, book, size)
        drawn = [draw(captions, [seed * 10_000 + n for n in range(count)]) for seed in range(seeds)]

        shares = [_objects_share(judge, book, images, scenes) for images in drawn]
        figures[name] = float(np.mean(shares))
        figures[f"real_{name}"] = _objects_share(judge, book, real, scenes)
        if not pairs:
            styles = [_style_share(judge, book, images, scenes) for images in drawn]
            figures["style"] = float(np.mean(styles))
            figures["real_style"] = _style_share(judge, book, real, scenes)
            figures["background"] = _background_share(scenes, drawn)
    return figures


def _pictures(scenes: Sequence[Scene], book: SpriteBook, size: int) -> Tensor:
    """Draw the scenes from the sprites: (B, 3, size, size) in [0, 1]."""
    pictures = np.stack([scene.draw(book.sprites, size) for scene in scenes])
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255


def _background_share(scenes: Sequence[Scene], drawn: Sequence[Tensor]) -> float:
    """Return how often a plain background has its colour."""
    return float(
        np.mean(
            [
                background_colour(image) == scene.background.colours[0]
                for images in drawn
                for scene, image in zip(scenes, images, strict=True)
                if scene.background.pattern == "plain"
            ]
        )
    )


def _unit(vectors: Tensor) -> Tensor:
    units: Tensor = vectors / vectors.norm(dim=-1, keepdim=True)
    return units
