"""How a file is used in one program, and how paths and texts are written there."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

__all__ = ["Program", "Use", "literal", "quoted", "shown"]

Program = Literal["diffusers", "A1111", "ComfyUI"]


@dataclass(frozen=True)
class Use:
    """How a file is used in one program; without lines it cannot be.

    Attributes:
        lines: What to type: in a shell, or for diffusers in Python with a `pipeline` at hand.
        imports: What these lines of Python import.
        words: A word of the prompt -> what is written in its place there.
        appended: What is written after the prompt there.
        note: A sentence on it.
    """

    lines: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    words: Mapping[str, str] = field(default_factory=dict)
    appended: str = ""
    note: str = ""


def shown(path: Path) -> str:
    """Write a path as short as it can be, from the current folder."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def quoted(path: Path) -> str:
    """Write a path for a shell."""
    return shlex.quote(shown(path))


def literal(text: str) -> str:
    """Write a text for Python."""
    return json.dumps(text, ensure_ascii=False)
