"""What an optimizer moves, in groups that have a learning rate each."""

from __future__ import annotations

from typing import Any

__all__ = ["ParameterGroup"]

ParameterGroup = dict[str, Any]
"""`params`, `lr`, and a `name` that stands in the curve of its rate."""
