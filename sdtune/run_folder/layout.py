"""What a run's files and folders are called, and where they are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "ADAPTER",
    "BASE_LABEL",
    "BEST",
    "CHECKPOINT",
    "RECORD",
    "REPORT",
    "SAMPLES",
    "SCORED_PICTURES",
    "RunFolder",
    "by_step",
    "latest_checkpoint",
    "step_label",
    "step_name",
    "step_of",
]

ADAPTER = "adapter"
"""Folder of the adapter, and of those of earlier steps below it."""

BEST = "best"
"""Folder of the best adapter, inside that of the adapter."""

SAMPLES = "samples"
"""Folder of the sample grids."""

SCORED_PICTURES = "evaluation"
"""Folder of the pictures that were scored."""

CHECKPOINT = Path("checkpoints", "last.ckpt")
"""The checkpoint to resume from."""

RECORD = "evaluation.json"
REPORT = "report.html"
BASE_LABEL = "base"
"""What the untuned base is called where a step would be named."""

_CONFIG = "config.yaml"
_STEP = re.compile(r"step_(\d+)")


def step_label(step: int) -> str:
    """Name what belongs to a step, such as `step_000200`.

    Args:
        step: Optimizer steps.
    """
    return f"step_{step:06d}"


def step_of(label: str) -> int | None:
    """Read the step out of what `step_label` made; None if it is another name.

    Args:
        label: A name without a suffix.
    """
    match = _STEP.fullmatch(label)
    return int(match[1]) if match else None


def step_name(label: str) -> str:
    """Name a checkpoint as one says it: `step_000200` is `step 200`, others stay as they are.

    Args:
        label: The checkpoint's label.
    """
    step = step_of(label)
    return label if step is None else f"step {step}"


def by_step(folder: Path, suffix: str = "") -> dict[int, Path]:
    """Find what is named after steps.

    Args:
        folder: Where; it need not exist.
        suffix: What files must end with, such as `.png`; folders are looked for without one.

    Returns:
        Step -> path, in order of steps.
    """
    found = {}
    for path in folder.glob(f"step_*{suffix}"):
        step = step_of(path.name.removesuffix(suffix))
        if step is not None and path.is_dir() != bool(suffix):
            found[step] = path
    return dict(sorted(found.items()))


def latest_checkpoint(runs: Path) -> Path | None:
    """Find the checkpoint that was written last, of all runs below a folder.

    Args:
        runs: The folder of a recipe's runs.

    Returns:
        The checkpoint; None if there is none.
    """
    found = (each for run in runs.glob("*") for each in RunFolder(run).checkpoints)
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


@dataclass(frozen=True)
class RunFolder:
    """The places inside a run's folder. None of them need be there.

    Args:
        path: The folder.
    """

    path: Path

    @property
    def name(self) -> str:
        """The recipe's name and the version's, such as `style_lora/version_0`."""
        return f"{self.recipe}/{self.path.resolve().name}"

    @property
    def recipe(self) -> str:
        """The recipe's name."""
        return self.path.resolve().parent.name

    @property
    def config(self) -> Path:
        """The resolved recipe of the first start."""
        return self.path / _CONFIG

    @property
    def configs(self) -> list[Path]:
        """The resolved recipes of all starts, in their order."""
        return [self.config, *dict(sorted(self._later_configs().items())).values()]

    @property
    def latest_config(self) -> Path:
        """The resolved recipe of the latest start."""
        return self.configs[-1]

    @property
    def next_config(self) -> Path:
        """A name for the resolved recipe of the next start, which overwrites no earlier one's."""
        if not self.config.exists():
            return self.config
        return self.path / f"config_{max(self._later_configs(), default=1) + 1}.yaml"

    @property
    def checkpoint(self) -> Path:
        """The checkpoint to resume from."""
        return self.path / CHECKPOINT

    @property
    def checkpoints(self) -> list[Path]:
        """All that can be resumed from, in no order: the newest may be lost, others not."""
        return list((self.path / CHECKPOINT.parent).glob(f"*{CHECKPOINT.suffix}"))

    @property
    def record(self) -> Path:
        """The record of the evaluation, see `sdtune.run_folder.record`."""
        return self.path / RECORD

    @property
    def adapter(self) -> Path:
        """The folder of the adapter as training left it."""
        return self.path / ADAPTER

    @property
    def best_adapter(self) -> Path:
        """The folder of the best checkpoint's adapter."""
        return self.adapter / BEST

    @property
    def samples(self) -> Path:
        """The folder of the sample grids."""
        return self.path / SAMPLES

    @property
    def picture_losses(self) -> Path:
        """How hard each training picture is, see `sdtune.run_folder.picture_losses`."""
        return self.path / "picture_losses.json"

    @property
    def report(self) -> Path:
        """The run's page."""
        return self.path / REPORT

    @property
    def contact_sheet(self) -> Path:
        """The page of the training pictures, written at the start."""
        return self.path / "contact_sheet.html"

    @property
    def has_curves(self) -> bool:
        """Whether TensorBoard's files are there."""
        return any(self.path.glob("events.out.tfevents.*"))

    def _later_configs(self) -> dict[int, Path]:
        numbered = {
            path.stem.removeprefix("config_"): path for path in self.path.glob("config_*.yaml")
        }
        return {int(number): path for number, path in numbered.items() if number.isdecimal()}
