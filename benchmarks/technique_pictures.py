"""Make the pictures of docs/techniques of a word and a LoRA, and of two subjects in one picture.

lightning run pivotal_tuning --run docs
lightning run multi_concept --run docs
python benchmarks/technique_pictures.py runs
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image

from sdtune.cli import main as sdtune_main
from sdtune.run_folder.grid_image import GridRow, draw_grid
from sdtune.run_folder.layout import RunFolder
from sdtune.run_folder.record import Evaluation
from sdtune.run_folder.sample_rows import Samples, read_samples

IMAGES = Path(__file__).parents[1] / "docs" / "images"
FIGURES = ("clip_i", "clip_score", "memorised_share", "class_drift")


def drawn(run: Path) -> Samples:
    """Read the samples of a run, and print its scores."""
    samples = read_samples(RunFolder(run).samples)
    if samples is None:
        raise SystemExit(f"Expected {run} to have samples, but it has none.")
    for checkpoint in Evaluation.load(run).checkpoints:
        known = {name: checkpoint.figures.get(name) for name in FIGURES}
        words = [
            f"{name} {each.value:.2f} ({each.low:.2f} to {each.high:.2f})"
            for name, each in known.items()
            if each is not None
        ]
        print(f"{run.parent.name}/{run.name} {checkpoint.label}: {', '.join(words)}")
    return samples


def at_strength(run: Path, scale: float) -> list[Image.Image]:
    """Draw a run's samples with its last adapter at a strength."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "drawn")
        words = ["--checkpoint", "last", "--scale", str(scale), "--output", str(output)]
        if sdtune_main(["generate", str(run), *words]) != 0:
            raise SystemExit(f"{run} was not drawn.")
        return [Image.open(each).copy() for each in sorted(output.glob("*_seed_*.png"))]


def save(rows: list[GridRow], of: Samples, name: str) -> None:
    """Write a grid as a small WebP."""
    grid = draw_grid(rows, of.prompts, of.seeds)
    grid.save(IMAGES / f"{name}.webp", quality=80, method=6)


def main(runs: Path) -> None:
    """Make both pictures."""
    run = runs / "pivotal_tuning" / "docs"
    one = drawn(run)
    rows = [
        GridRow("base", one.rows[0].tiles),
        GridRow("strength 0", at_strength(run, 0.0)),
        GridRow("strength 0.5", at_strength(run, 0.5)),
        GridRow("strength 1", one.rows[-1].tiles),
    ]
    save(rows, one, "pivotal_tuning")
    both = drawn(runs / "multi_concept" / "docs")
    save([both.rows[0], both.rows[1], both.rows[-1]], both, "multi_concept")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
