"""Whether one can go on from a checkpoint, found out without running what is in the file."""

from __future__ import annotations

import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

__all__ = ["content_problem", "read_content"]

_NEEDED = (
    "epoch",
    "global_step",
    "loops",
    "lr_schedulers",
    "optimizer_states",
    "pytorch-lightning_version",
    "state_dict",
)
"""What Lightning goes on with."""


def content_problem(path: Path) -> str | None:
    """Tell what is wrong with what a checkpoint holds; reads all but the values of its tensors.

    Args:
        path: The file. What is a folder, in pieces, is a strategy's to read.

    Returns:
        A sentence; None if one can go on from it.
    """
    if path.is_dir():
        return None
    content = read_content(path)
    return content if isinstance(content, str) else None


def read_content(path: Path) -> dict[str, Any] | str:
    """Read what a checkpoint holds, all but the values of its tensors.

    Args:
        path: The file.

    Returns:
        What it holds, its tensors on the meta device; or what is wrong with it, a sentence.
    """
    expected = f"Expected {path} to be a checkpoint to go on from, but"
    if not path.is_file():
        return f"{expected} there is no such file."
    try:
        # values are not read, and nothing in the file is run
        content = torch.load(
            path, map_location="meta", weights_only=True, mmap=zipfile.is_zipfile(path)
        )
    except UnpicklingError:
        return (
            f"{expected} it is damaged, or holds more than tensors and plain values, which could "
            "run code and is not read."
        )
    except Exception as error:  # torch meets a damaged file with almost any exception
        return f"{expected} it is damaged ({type(error).__name__}); take an earlier one."
    if not isinstance(content, dict):
        return f"{expected} it holds no state of a training."
    missing = [key for key in _NEEDED if key not in content]
    if missing:
        names = ", ".join(f"`{key}`" for key in missing)
        return (
            f"{expected} it holds no {names}: it has the weights alone, or is of another program."
        )
    loops = content["loops"]
    # Lightning passes over what is missing, and would begin at step 0 with what has been trained
    if not isinstance(loops, dict) or not loops.get("fit_loop"):
        return f"{expected} it does not say how far the training was."
    return content
