"""Training without a word, for runs of which there are many."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["quiet_training"]

_LOGGERS = ("lightning.pytorch", "lightning.fabric", "transformers", "sdtune")


@contextmanager
def quiet_training() -> Iterator[None]:
    """Show errors alone for a while, and leave torch's random state as it was."""
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            with torch.random.fork_rng(devices=[]):
                yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
