"""What a metric may be called: its name is a key of files, a tag of curves, and part of options."""

from __future__ import annotations

import re

__all__ = ["METRIC_NAME", "is_metric_name"]

METRIC_NAME = "small letters, digits and `_`"
"""In words."""

_METRIC_NAME = re.compile(r"[a-z][a-z0-9_]*")


def is_metric_name(name: str) -> bool:
    """Tell whether a metric may have a name.

    Args:
        name: A name, of a metric that is registered or in a file.

    Returns:
        Whether it is a letter and then letters, digits and `_`, as `METRIC_NAME` says.
    """
    return _METRIC_NAME.fullmatch(name) is not None
