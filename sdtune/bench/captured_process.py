"""A process that is measured, with what it says."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence

__all__ = ["run_captured"]


def run_captured(
    command: Sequence[str], environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, and keep its output.

    Args:
        command: Words.
        environment: All of its environment's variables.

    Returns:
        The exit code, and what it wrote; what is of another encoding is escaped.
    """
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, errors="backslashreplace"
    )
