"""nano's model card: figures, contact sheets and what may be expected of it."""

import json
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from transformers import CLIPModel, CLIPTokenizer

from sdtune.models import load, sample
from sdtune.nano.making.figures import Judge, caption_top1, drawing_figures, vae_psnr
from sdtune.nano.making.objects import OBJECTS, WELL_KNOWN, with_article
from sdtune.nano.making.sources import HELD_OUT_SOURCES, TRAINING_SOURCES
from sdtune.nano.making.sprites import SpriteBook

__all__ = ["contact_sheet", "measure", "write_card"]

GUIDANCE_SCALE = 3.0  # what the card recommends, and measures with
_BACKGROUNDS = (
    "red",
    "blue",
    "white",
    "striped green and white",
    "checkered black and yellow",
    "dotted pink and purple",
)

_CARD = """# nano

A complete Stable Diffusion in miniature, for tests, teaching and benchmarks: 64 px, {parameters} M
parameters, loadable by `StableDiffusionPipeline.from_pretrained`. It draws {objects} objects in
{styles} styles over plain and patterned backgrounds; its captions read "a turtle on a dotted pink
and white background, noto style". It knows nothing else: no people, no text, no photographs; words
that it has not met, such as an identifier for DreamBooth, it reads over.

| figure, on held-out compositions, seed fixed | drawings | real pictures | share |
| --- | --- | --- | --- |
{compared}
| plain background's colour right | {background:.0%} | | |

| figure | |
| --- | --- |
| VAE: PSNR on {scenes} held-out scenes | {psnr:.1f} dB |
| evaluation CLIP: right caption among 100, held-out scenes | {top1:.0%} |
| 8 pictures, {steps} steps, guided, two cores of a shared machine | {seconds:.1f} s |
| weights, with the evaluation CLIP | {megabytes:.1f} MB |

Drawn with {steps} steps of DPM-Solver++ and a guidance scale of {guidance:g}, the one recommended,
and judged by the evaluation CLIP, which has another seed and conditions nothing. It has learned
from bent, blurred and blotched copies too, because clean drawings alone make a judge that misnames
what anyone would recognise. The candidates for an object differ in nothing else. What the judge
makes of real pictures of the same scenes is the most that drawings can be expected to reach; the
share is of that. Made by `python -m sdtune.nano card SPRITES`.

Objects by style ({style_words}), and by background; not picked:

![objects by style](card/objects_by_style.png)
![objects by background](card/objects_by_background.png)

## What it is made of

| part | class | |
| --- | --- | --- |
| `vae` | AutoencoderKL | factor 4, 4 latent channels |
| `text_encoder` | CLIPTextModel | 4 layers of 128, 32 tokens, 2,048 byte pairs, tuned with UNet |
| `unet` | UNet2DConditionModel | 16 x 16 latents, cross-attention at 8 x 8 and 4 x 4 |
| `scheduler` | DDPMScheduler | SD 1's betas rescaled to zero terminal SNR, v-prediction |
| `evaluation_clip` | CLIPModel | a CLIP of another seed, for scores |

SD 1's schedule never reaches pure noise. At 64 px the mean colour of a picture shows through the
noise of its last timestep, so a model learns to read there what sampling does not offer, and
backgrounds come out in wrong colours. Hence the rescaled schedule (Lin et al. 2023,
https://arxiv.org/abs/2305.08891), and v-prediction, which it needs.

## What it was trained on

Scenes composed from {sprites} openly licensed drawings:

| style | package | licence | credit |
| --- | --- | --- | --- |
{sources}

Never part of its training, for recipes to fine-tune on:

| style | package | licence | credit |
| --- | --- | --- | --- |
{held_out}

The recipes are `recipes/nano/*.yaml`; each says how long it takes.
"""


def measure(
    weights: Path, evaluation_clip: Path, sprites: Path, prompts: int, steps: int, scenes: int
) -> dict[str, float]:
    """Measure every figure of the card; minutes on two cores.

    Args:
        weights: nano's folder.
        evaluation_clip: The evaluation CLIP's folder.
        sprites: The sprite file.
        prompts: How many held-out captions are drawn, twice each.
        steps: Of the sampler.
        scenes: How many held-out scenes pass the VAE; the judge sees whole hundreds of them.

    Returns:
        Figures by name: shares in [0, 1], `psnr` in dB, `seconds`, `megabytes`, `parameters` in
        millions.
    """
    model, book = load(weights), SpriteBook(sprites)
    judge = Judge(
        CLIPModel.from_pretrained(evaluation_clip).float(),
        CLIPTokenizer.from_pretrained(evaluation_clip),
    )

    def draw(prompts: Sequence[str], seeds: Sequence[int]) -> Tensor:
        return sample(
            model,
            prompts,
            seeds=seeds,
            num_inference_steps=steps,
            guidance_scale=GUIDANCE_SCALE,
            batch_size=50,
        )

    start = time.perf_counter()
    draw(["a turtle on a red background"] * 8, range(8))
    figures = {"seconds": time.perf_counter() - start}
    figures |= {
        "psnr": vae_psnr(model, book, scenes),
        "top1": caption_top1(judge, book, model.resolution, scenes // 100 * 100),
        "parameters": sum(each.numel() for each in model.parameters()) / 1e6,
        "megabytes": sum(
            file.stat().st_size
            for folder in (weights, evaluation_clip)
            for file in folder.rglob("*.safetensors")
        )
        / 1e6,
    }
    return figures | drawing_figures(draw, judge, book, model.resolution, prompts)


def contact_sheet(
    weights: Path, columns: Sequence[str], objects: Sequence[str], steps: int
) -> Image.Image:
    """Draw each object with each ending of its caption, with one seed for all.

    Args:
        weights: nano's folder.
        columns: What follows the object in the caption.
        objects: The rows.
        steps: Of the sampler.

    Returns:
        A sheet of 96 px tiles.
    """
    model = load(weights)
    prompts = [f"{with_article(name)}{column}" for name in objects for column in columns]
    images = sample(
        model,
        prompts,
        seeds=[0] * len(prompts),
        num_inference_steps=steps,
        guidance_scale=GUIDANCE_SCALE,
    )
    height, width = images.shape[2:]
    table = images.reshape(len(objects), len(columns), 3, height, width)
    sheet = table.permute(0, 3, 1, 4, 2).reshape(len(objects) * height, len(columns) * width, 3)
    picture = Image.fromarray((255 * sheet).round().to(torch.uint8).numpy())
    return picture.resize((96 * len(columns), 96 * len(objects)), resample=Image.Resampling.LANCZOS)


def _compared(figures: dict[str, float], prompts: int, styles: int) -> str:
    """Write the rows of what drawings and real pictures are judged by alike."""
    names = {
        "object": f"object named right among 100, {2 * prompts} drawings",
        "style": f"style named right among {styles}",
        "pair": f"both of two objects named right, {prompts} drawings",
    }
    rows = []
    for name, title in names.items():
        drawn, real = figures[name], figures[f"real_{name}"]
        share = f"{drawn / real:.0%}" if real else ""
        rows.append(f"| {title} | {drawn:.0%} | {real:.0%} | {share} |")
    return "\n".join(rows)


def write_card(
    folder: Path, sprites: Path, prompts: int = 200, steps: int = 25, scenes: int = 512
) -> None:
    """Measure nano and write README.md and card/ into its folder.

    Args:
        folder: The folder that holds `weights` and `evaluation_clip`.
        sprites: The sprite file.
        prompts: How many held-out captions are drawn, twice each.
        steps: Of the sampler.
        scenes: As in `measure`.
    """
    weights, evaluation_clip = folder / "weights", folder / "evaluation_clip"
    figures = measure(weights, evaluation_clip, sprites, prompts, steps, scenes)
    (folder / "card").mkdir(exist_ok=True)
    text = json.dumps({name: round(value, 4) for name, value in figures.items()}, indent=2)
    (folder / "card" / "figures.json").write_text(text + "\n", encoding="utf-8")
    styles = [source.style for source in TRAINING_SOURCES]
    draw = partial(contact_sheet, weights, objects=WELL_KNOWN[::5][:8], steps=steps)
    by_style = draw([f" on a gray background, {style} style" for style in styles])
    by_style.save(folder / "card" / "objects_by_style.png", optimize=True)
    by_background = draw([f" on a {each} background, noto style" for each in _BACKGROUNDS])
    by_background.save(folder / "card" / "objects_by_background.png", optimize=True)
    row = "| {0.style} | `{0.package}` {0.version} | {0.licence} | {0.attribution} |"
    card = _CARD.format(
        **figures | {"parameters": f"{figures['parameters']:.1f}"},
        compared=_compared(figures, prompts, len(styles)),
        objects=len(OBJECTS),
        styles=len(styles),
        style_words=", ".join(styles),
        guidance=GUIDANCE_SCALE,
        steps=steps,
        scenes=scenes,
        sprites=len(SpriteBook(sprites).sprites),
        sources="\n".join(map(row.format, TRAINING_SOURCES)),
        held_out="\n".join(map(row.format, HELD_OUT_SOURCES)),
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
