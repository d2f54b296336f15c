"""What the commands that make files of adapters have in common."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sdtune.commands.errors import CallError
from sdtune.commands.recipe import LARGEST_RECIPE
from sdtune.files.text_file import parse_yaml_text, read_text

if TYPE_CHECKING:
    from sdtune.adapters.lora.arithmetic import Kept

__all__ = ["base_of", "kept_lines", "precision_of", "recorded_base", "refusing"]

_LEVELS = 4  # a file lies in runs/<recipe>/<version>/adapter/<step>/peft at most

# the Trainer's names -> those of floating types
_PRECISIONS: dict[str, Literal["bfloat16", "float16"]] = {
    "bf16-mixed": "bfloat16",
    "16-mixed": "float16",
}


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
    recipe = _recipe_of(adapter)
    try:
        return None if recipe is None else str(recipe["model"]["init_args"]["base"])
    except (KeyError, TypeError):
        return None


def precision_of(adapter: Path) -> Literal["float32", "bfloat16", "float16"]:
    """Find the floating type that an adapter's run had its base in; float32 if it is not known.

    Args:
        adapter: As in `recorded_base`.
    """
    recipe = _recipe_of(adapter)
    try:
        name = None if recipe is None else recipe["trainer"]["precision"]
    except (KeyError, TypeError):
        name = None
    return _PRECISIONS.get(str(name), "float32")


def _recipe_of(adapter: Path) -> Any:
    path = adapter.resolve()
    for folder in [path, *path.parents][: _LEVELS + 1]:
        config = folder / "config.yaml"
        if config.is_file():
            try:
                return parse_yaml_text(read_text(config, largest=LARGEST_RECIPE))
            except (OSError, ValueError):
                return None
    return None


def kept_lines(kept: "Kept") -> Iterator[str]:
    """Say how much of a change a smaller LoRA keeps.

    Args:
        kept: The shares.
    """
    ranks = ", ".join(f"{rank} ({count} modules)" for rank, count in kept.ranks.items())
    yield f"rank:        {ranks}"
    yield f"kept:        {kept.share:.2%} of the squared change"
    yield f"least:       {kept.least:.2%}, of {kept.module}"
