"""Make the pictures of docs/images out of a run of `style_lora` and the paper's comparisons.

lightning run style_lora --run docs
python benchmarks/documentation_pictures.py runs/style_lora/docs
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from sdtune.cli import main as sdtune_main
from sdtune.run_folder.record import Evaluation, picture_name

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
SHOWN = ("clip_score", "style_score", "clip_i", "ssim_nearest")
STRENGTHS = (0.0, 0.5, 1.0, 1.5)
PROMPTS = (
    "a penguin on a blue background",
    "a mushroom on a pink background",
    "a pizza on a green background",
    "a turtle on a blue background",
)
TILE = 112  # pixels


def save(picture: Image.Image, name: str, widest: int = 900) -> None:
    """Write a picture as a small JPEG."""
    picture = picture.convert("RGB")
    picture.thumbnail((widest, 10 * widest), Image.Resampling.LANCZOS)
    IMAGES.mkdir(exist_ok=True)
    picture.save(IMAGES / f"{name}.jpg", quality=82, optimize=True)


def sheet(rows: Sequence[Sequence[tuple[Image.Image, str]]]) -> Image.Image:
    """Put pictures with a line below each into rows."""
    height = TILE + 18
    width = max(map(len, rows)) * (TILE + 6)
    page = Image.new("RGB", (width, len(rows) * height), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(12)
    for y, row in enumerate(rows):
        for x, (picture, text) in enumerate(row):
            corner = (x * (TILE + 6), y * height)
            page.paste(picture.convert("RGB").resize((TILE, TILE)), corner)
            draw.text((corner[0], corner[1] + TILE + 2), text, "black", font)
    return page


def extremes(run: Path, evaluation: Evaluation, metric: str) -> Image.Image:
    """Show the three pictures that score highest and the three that score lowest, one a prompt."""
    prompts, seeds = evaluation.protocol.prompts, evaluation.protocol.seeds
    found = []
    for checkpoint in evaluation.checkpoints:
        for position, value in enumerate(checkpoint.per_sample.get(metric, [])):
            prompt, seed = divmod(position, len(seeds))
            path = run / checkpoint.pictures / picture_name(prompt, seeds[seed])
            found.append((value, prompts[prompt].partition(" on ")[0], checkpoint.label, path))
    found.sort(key=lambda each: each[0])
    rows = []
    for ordered in (found[::-1], found):
        chosen: dict[str, tuple[float, str, str, Path]] = {}
        for each in ordered:
            chosen.setdefault(each[1], each)
        rows.append(
            [
                (Image.open(path), f"{value:.2f} {label.removeprefix('step_000')} {what}"[:19])
                for value, what, label, path in list(chosen.values())[:3]
            ]
        )
        for value, what, label, _ in list(chosen.values())[:3]:
            print(f"{metric}: {value:.3f} {what}, {label}")
    return sheet([[*rows[0], *rows[1]]])


def main(run: Path) -> None:
    """Make all pictures."""
    evaluation = Evaluation.load(run)
    grids = sorted((run / "samples").glob("step_*.png"))
    save(Image.open(grids[-1]), "style_lora", 700)
    for metric in SHOWN:
        save(extremes(run, evaluation, metric), f"metric_{metric}")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for strength in STRENGTHS:
            output = Path(folder, str(strength))
            words = ["--scale", str(strength), "--prompt", *PROMPTS, "--seeds", "0"]
            sdtune_main(["generate", str(run), *words, "--output", str(output)])
            pictures = [Image.open(path).copy() for path in sorted(output.glob("*.png"))]
            rows.append([(picture, f"strength {strength:g}") for picture in pictures])
    save(sheet(rows), "style_strength", 480)
    results = ROOT / "recipes" / "paper" / "results"
    save(Image.open(results / "subject" / "figure_1.png"), "subject")
    save(Image.open(results / "style" / "figure_2.png"), "style_unicorn")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
