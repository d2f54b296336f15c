"""What the commands that make files of adapters have in common."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sdtune.commands.errors import CallError
from sdtune.run_folder.run_recipe import model_argument

if TYPE_CHECKING:
    from sdtune.adapters.lora.arithmetic import Kept

__all__ = ["base_of", "kept_lines", "recorded_base", "refusing"]


@contextmanager
def refusing() -> Iterator[None]:
    """Make what is wrong with files or values an error of the call."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise CallError(getattr(error, "problems", [str(error)])) from error


def base_of(adapter: Path, base: str | None) -> str:
    """Find the base of an adapter: what is given, else what its run's recipe names, else nano.

    Args:
        adapter: A run folder, or what is in one, or anything else.
        base: What the call gives, or None.
    """
    return base or recorded_base(adapter) or "nano"


def recorded_base(adapter: Path) -> str | None:
    """Find the base that an adapter's run names.

    Args:
        adapter: A run folder, or what is in one, or anything else, whose base is not known.
    """
    base = model_argument(adapter, "base")
    return None if base is None else str(base)


def kept_lines(kept: "Kept") -> Iterator[str]:
    """Say how much of a change a smaller LoRA keeps.

    Args:
        kept: The shares.
    """
    ranks = ", ".join(f"{rank} ({count} modules)" for rank, count in kept.ranks.items())
    yield f"rank:        {ranks}"
    yield f"kept:        {kept.share:.2%} of the squared change"
    yield f"least:       {kept.least:.2%}, of {kept.module}"
