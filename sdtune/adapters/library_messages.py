"""Messages of the libraries that read adapters, where they mislead."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["dropped_messages"]


@contextmanager
def dropped_messages(part: str, *loggers: str) -> Iterator[None]:
    """Drop what some loggers say, for a while, if it holds a text.

    Args:
        part: Part of the messages to be dropped.
        *loggers: Names of the loggers.

    Yields:
        Nothing.
    """

    def keep(record: logging.LogRecord) -> bool:
        return part not in record.getMessage()

    for name in loggers:
        logging.getLogger(name).addFilter(keep)
    try:
        yield
    finally:
        for name in loggers:
            logging.getLogger(name).removeFilter(keep)
