"""What a measurement was made on."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

import torch

import sdtune
from sdtune._imports import installed_versions
from sdtune.bench.window import counts_computing

__all__ = ["clock_words", "describe_machine"]

_PACKAGES = ("torch", "lightning", "diffusers", "transformers", "peft", "bitsandbytes")


def describe_machine() -> dict[str, str]:
    """Name processor, GPU, threads, load, and versions of packages."""
    described = {
        "processor": _processor(),
        "cores": str(_cores()),
        "threads": str(torch.get_num_threads()),
    }
    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 1e9
        described["gpu"] = f"{torch.cuda.get_device_name()}, {memory:.0f} GB"
    if hasattr(os, "getloadavg"):
        described["load"] = f"{os.getloadavg()[0]:.1f}"
    described |= {"python": platform.python_version(), "sdtune": sdtune.__version__}
    return described | installed_versions(*_PACKAGES)


def clock_words() -> str:
    """Say what seconds are here, see `sdtune.bench.window.now`."""
    if counts_computing():
        return "those that the process computed, on one thread"
    return "those of the clock"


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()
