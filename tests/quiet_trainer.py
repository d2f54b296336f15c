"""A Trainer on the CPU that writes nothing."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl

__all__ = ["quiet_trainer"]


def quiet_trainer(**arguments: Any) -> pl.Trainer:
    """Make a Trainer without logger, checkpoints and output, of one step unless told otherwise."""
    quiet: dict[str, Any] = {
        "accelerator": "cpu",
        "max_steps": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return pl.Trainer(**(quiet | arguments))
