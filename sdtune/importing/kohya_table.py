"""Every key of kohya's that is known, in the order of the documentation's table."""

from __future__ import annotations

from collections.abc import Iterator

from sdtune.importing.kohya_data_keys import DATA_KEYS
from sdtune.importing.kohya_idle_keys import IDLE_KEYS
from sdtune.importing.kohya_model_keys import MODEL_KEYS
from sdtune.importing.kohya_training_keys import TRAINING_KEYS
from sdtune.importing.outcome import Entry

__all__ = ["KEYS", "documentation"]

KEYS: dict[str, Entry] = {**MODEL_KEYS, **DATA_KEYS, **TRAINING_KEYS, **IDLE_KEYS}
"""Key -> what becomes of it."""


def documentation() -> Iterator[str]:
    """Write the documentation's table, a row for all keys of which the same is said.

    Yields:
        Its lines.
    """
    yield "| kohya's key | here |"
    yield "|---|---|"
    rows: dict[str, list[str]] = {}
    for key, entry in KEYS.items():
        rows.setdefault(entry.here, []).append(key.replace(".", " "))
    for here, keys in rows.items():
        yield f"| {', '.join(f'`{key}`' for key in keys)} | {here.replace('|', chr(92) + '|')} |"
