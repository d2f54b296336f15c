"""What the commands that make files of adapters have in common."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sdtune.commands.errors import CallError
from sdtune.commands.recipe import LARGEST_RECIPE
from sdtune.files.text_file import parse_yaml_text, read_text

if TYPE_CHECKING:
    from sdtune.adapters.lora.arithmetic import Kept

__all__ = ["base_of", "kept_lines", "refusing"]

_LEVELS = 4  # a file lies in runs/<recipe>/<version>/adapter/<step>/peft at most


@contextmanager
def refusing() -> Iterator[None]:
    """Make what is wrong with files or values an error of the call."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise CallError([str(error)]) from error


def base_of(adapter: Path, base: str | None) -> str:
    """Find the base of an adapter: what is given, else what its run's recipe names, else nano.

    Args:
        adapter: A run folder, or what is in one, or anything else.
        base: What the call gives, or None.
    """
    if base is not None:
        return base
    path = adapter.resolve()
    for folder in [path, *path.parents][: _LEVELS + 1]:
        config = folder / "config.yaml"
        if config.is_file():
            try:
                recipe = parse_yaml_text(read_text(config, largest=LARGEST_RECIPE))
                return str(recipe["model"]["init_args"]["base"])
            except (OSError, ValueError, KeyError, TypeError):
                break
    return "nano"


def kept_lines(kept: "Kept") -> Iterator[str]:
    """Say how much of a change a smaller LoRA keeps.

    Args:
        kept: The shares.
    """
    ranks = ", ".join(f"{rank} ({count} modules)" for rank, count in kept.ranks.items())
    yield f"rank:        {ranks}"
    yield f"kept:        {kept.share:.2%} of the squared change"
    yield f"least:       {kept.least:.2%}, of {kept.module}"
