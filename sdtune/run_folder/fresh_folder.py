"""A run writes into folders of its own and overwrites nobody's work."""

from __future__ import annotations

from pathlib import Path

from sdtune.files.confined_path import links_out_of
from sdtune.run_folder.layout import ADAPTER, CHECKPOINT, SAMPLES, SCORED_PICTURES

__all__ = ["refuse_links", "refuse_used_folder"]

_WRITTEN = (ADAPTER, SAMPLES, SCORED_PICTURES, str(CHECKPOINT.parent), "hparams.yaml", ".lock")


def refuse_links(run: Path) -> None:
    """Raise if what is written to in a run's folder is a link: it would be written elsewhere.

    Args:
        run: The folder, which may itself be a link; it need not exist.

    Raises:
        ValueError: If a link leads out of it.
    """
    links = links_out_of(run, _WRITTEN)
    if links:
        raise ValueError(
            f"Expected {run} to hold all that is written there, but {links[0]} is a link that "
            "leads out of it: put what it leads to in its place. The whole folder may be a link."
        )


def refuse_used_folder(folder: str | Path) -> None:
    """Raise if a folder that a new run is going to write into holds something.

    Args:
        folder: The folder; it need not exist.

    Raises:
        FileExistsError: If the folder is not empty.
    """
    folder = Path(folder)
    if folder.is_dir() and any(folder.iterdir()):
        raise FileExistsError(
            f"Expected {folder} to be empty, but another run has written into it: give "
            "`trainer.default_root_dir` or the logger another folder, or resume that run."
        )
