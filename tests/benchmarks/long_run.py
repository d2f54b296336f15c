"""What a long run holds and leaves, step by step: memory, files, threads, event files, checkpoints.

    python -m tests.benchmarks.long_run runs/long --steps 10000    # a run that was stopped goes on
    python -m tests.benchmarks.long_run runs/long --plot long_run.svg

Textual Inversion of one picture a step on nano, with validation, scores, grids and checkpoints.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.loggers import TensorBoardLogger

from sdtune.callbacks.adapter_checkpoint import AdapterCheckpoint
from sdtune.callbacks.evaluation import EvaluationCallback
from sdtune.callbacks.picture_losses import PictureLosses
from sdtune.callbacks.resume_checkpoint import ResumeCheckpoint
from sdtune.callbacks.sample_grid import SampleGrid
from sdtune.data.style import StyleDataModule
from sdtune.run_folder.checkpoints import find_checkpoint
from sdtune.run_folder.event_files import EVENT_FILES
from sdtune.run_folder.layout import CHECKPOINT
from sdtune.techniques.textual_inversion import TextualInversionModule

FIGURES = "long_run.jsonl"
COLUMNS = {
    "memory": "MB that the process holds",
    "mapped": "MB of it that are files",
    "descriptors": "open files",
    "threads": "threads",
    "events": "MB of event files",
    "checkpoint": "KB of last.ckpt",
    "checkpoints": "MB of checkpoints",
    "adapters": "files of adapters",
    "files": "files in the run folder",
}


class Watch(pl.Callback):
    """Write down what the process and its folder hold, every so many steps.

    Args:
        file: Where lines of JSON are added to.
        every_n_steps: Optimizer steps between two of them.
    """

    def __init__(self, file: Path, every_n_steps: int) -> None:
        self.file = file
        self.every_n_steps = every_n_steps
        self._begin = time.monotonic()
        self._last = -1

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Look when all of the step before is done."""
        self._look(trainer)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the end too."""
        self._look(trainer)

    def _look(self, trainer: pl.Trainer) -> None:
        step = trainer.global_step
        if (step % self.every_n_steps and step != trainer.max_steps) or step == self._last:
            return
        self._last = step
        seconds = round(time.monotonic() - self._begin, 1)
        line = {"step": step, "seconds": seconds, **held(Path(str(trainer.log_dir)))}
        with self.file.open("a") as stream:
            stream.write(json.dumps(line) + "\n")


def held(run: Path) -> dict[str, float]:
    """Measure what this process and a run folder hold.

    Args:
        run: The run folder.

    Returns:
        Figures, named as in `COLUMNS`.
    """
    with open("/proc/self/status") as file:
        rows = dict(line.split(":", 1) for line in file)
    files = [each for each in run.rglob("*") if each.is_file()]
    checkpoint = run / CHECKPOINT
    return {
        "memory": int(rows["VmRSS"].split()[0]) * 1024 / 1e6,
        "mapped": int(rows["RssFile"].split()[0]) * 1024 / 1e6,
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "events": sum(each.stat().st_size for each in run.glob(EVENT_FILES)) / 1e6,
        "checkpoint": checkpoint.stat().st_size / 1e3 if checkpoint.exists() else 0,
        "checkpoints": sum(e.stat().st_size for e in files if e.parent == checkpoint.parent) / 1e6,
        "adapters": sum(each.is_relative_to(run / "adapter") for each in files),
        "files": len(files),
    }


def train(folder: Path, steps: int, every: int, look: int) -> None:
    """Train, or go on.

    Args:
        folder: Where the run folder `run` is, and the figures.
        steps: Optimizer steps in all.
        every: Steps between two visits: scores, grids, adapters.
        look: Steps between two looks at what is held.
    """
    folder.mkdir(parents=True, exist_ok=True)
    prompts = ["a <cat> on a pink background", "a <cat> on a dotted yellow and blue background"]
    seen: dict[str, Any] = {"every_n_steps": every, "guidance_scale": 2.0}
    seen["num_inference_steps"] = 5
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=steps,
        val_check_interval=every,
        check_val_every_n_epoch=None,
        log_every_n_steps=10,
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=TensorBoardLogger(folder, "run", "", default_hp_metric=False),
        callbacks=[
            SampleGrid(prompts, **seen),
            AdapterCheckpoint(every_n_steps=every, keep=3),
            EvaluationCallback(prompts, goal="subject", **seen),
            ResumeCheckpoint(every_n_steps=100, keep_last=2),
            PictureLosses(),
            LearningRateMonitor(),
            Watch(folder / FIGURES, look),
        ],
    )
    data = StyleDataModule(
        "datasets/subject_cat",
        trigger="<cat>",
        resolution=64,
        batch_size=1,
        repeats=10,
        validation_count=2,
        num_workers=0,
    )
    module = TextualInversionModule("<cat>", "cat", "nano", num_vectors=2, learning_rate=1e-3)
    checkpoint, _ = find_checkpoint(folder / "run" / "checkpoints")
    trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True)


def read_figures(file: Path) -> list[dict[str, float]]:
    """Read the lines; of a step that was looked at twice, around a stop, the later one."""
    lines = [json.loads(each) for each in file.read_text().splitlines()]
    return [*{each["step"]: each for each in lines}.values()]


def table(figures: Sequence[dict[str, float]], rows: int = 8) -> str:
    """Make a table in Markdown of some of the figures, the first and the last among them."""
    chosen = figures[:: max(1, len(figures) // rows)]
    chosen = [*chosen, figures[-1]] if chosen[-1] is not figures[-1] else [*chosen]
    head = "| step | " + " | ".join(COLUMNS.values()) + " |"
    lines = [head, "|" + "---|" * (len(COLUMNS) + 1)]
    for each in chosen:
        cells = (f"{each[name]:.4g}" for name in COLUMNS)
        lines.append(f"| {each['step']:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(figures: Sequence[dict[str, float]], path: Path) -> None:
    """Draw each figure against the step.

    Args:
        figures: What `read_figures` returned.
        path: The picture, such as `long_run.svg`.
    """
    from matplotlib.figure import Figure

    picture = Figure(figsize=(9, 6), layout="constrained")
    for axes, (name, title) in zip(picture.subplots(3, 3).flat, COLUMNS.items(), strict=True):
        axes.plot([each["step"] for each in figures], [each[name] for each in figures], lw=1)
        axes.set_title(title, fontsize=9)
        axes.set_ylim(bottom=0, top=1.25 * max(1e-3, *(each[name] for each in figures)))
        axes.tick_params(labelsize=7)
    picture.savefig(path, metadata={"Date": None})


def main() -> int:
    """Train, or draw what was written down."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--every", type=int, default=250, help="steps between grids, scores")
    parser.add_argument("--look", type=int, default=25, help="steps between two figures")
    parser.add_argument("--plot", type=Path, help="only draw what is there")
    arguments = parser.parse_args()
    if arguments.plot is None:
        train(arguments.folder, arguments.steps, arguments.every, arguments.look)
    figures = read_figures(arguments.folder / FIGURES)
    if arguments.plot is not None:
        plot(figures, arguments.plot)
    print(table(figures))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
