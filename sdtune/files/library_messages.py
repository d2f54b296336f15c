"""Messages of the libraries that read files, where they mislead."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager

__all__ = ["dropped_messages"]


@contextmanager
def dropped_messages(*parts: str, loggers: Collection[str]) -> Iterator[None]:
    """Drop what some loggers say, for a while, if it holds a text.

    Args:
        *parts: Parts of the messages to be dropped; any one of them is enough.
        loggers: Names of the loggers.

    Yields:
        Nothing.
    """

    def keep(record: logging.LogRecord) -> bool:
        text = record.getMessage()
        return not any(part in text for part in parts)

    for name in loggers:
        logging.getLogger(name).addFilter(keep)
    try:
        yield
    finally:
        for name in loggers:
            logging.getLogger(name).removeFilter(keep)
