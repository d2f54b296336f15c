"""Models that are loaded whole or not at all: their libraries fill what is missing at random."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from sdtune.files.library_messages import dropped_messages

__all__ = ["Absent", "NotWholeError", "load_whole", "say_shapes", "say_what_is_absent"]

Absent = Mapping[str, str]
"""Names of weights that a file does not give -> why: empty where it lacks them, else the shapes."""

log = logging.getLogger(__name__)

_NAMED = 3  # weights that a message names at most
_REPORTERS = ("transformers.modeling_utils", "diffusers.models.modeling_utils")
_REPORTS = ("LOAD REPORT", "were not used when", "are newly initialized")


class NotWholeError(ValueError):
    """A file lacks weights of the model that it is read for, or has them in other shapes."""


def load_whole(
    model_class: Any,
    source: str | Path,
    *,
    subfolder: str = "",
    unused: Collection[str] = (),
    **options: Any,
) -> Any:
    """Load a model of diffusers or transformers, and refuse one whose file lacks weights.

    Weights that the libraries know to be absent rightly (buffers that are computed, weights that
    are tied to others, those of `_keys_to_ignore_on_load_missing`) are no fault. Of layers that a
    file has beyond the configuration's number, a warning tells; other weights that a model has no
    place for are those of other uses of the same file, and nothing is said.

    Args:
        model_class: A class with `from_pretrained`.
        source: A folder, or a Hugging Face id.
        subfolder: The model's folder in it.
        unused: How the names of weights begin that are never used, and may be missing.
        **options: Further arguments of `from_pretrained`.

    Returns:
        What `from_pretrained` returns.

    Raises:
        NotWholeError: If a weight is missing, or of another shape; the message names the file,
            how many and the first few.
    """
    if subfolder:
        options["subfolder"] = subfolder
    with dropped_messages(*_REPORTS, loggers=_REPORTERS):
        model, told = model_class.from_pretrained(
            source, output_loading_info=True, ignore_mismatched_sizes=True, **options
        )
    place = _weights_file(Path(source, subfolder), options.get("variant"))
    absent = dict.fromkeys(told["missing_keys"], "")
    for name, found, wanted in told["mismatched_keys"]:
        absent[name] = say_shapes(found, wanted)
    absent = {name: why for name, why in absent.items() if not name.startswith(tuple(unused))}
    others = sorted(told["unexpected_keys"])
    if absent:
        raise NotWholeError(say_what_is_absent(place, absent, len(model.state_dict()), others))
    beyond = [name for name in others if _is_of_a_layer_beyond(model, name)]
    if beyond:
        log.warning(
            "%s holds %d weights of layers that its configuration does not count, which are left "
            "out: %s. If that is not meant, its config.json belongs to another file.",
            place,
            len(beyond),
            _first(beyond),
        )
    return model


def say_what_is_absent(
    place: str | Path, absent: Absent, total: int, others: Collection[str] = ()
) -> str:
    """Say in one sentence which weights a file does not give, and what to do.

    Args:
        place: The file.
        absent: What it does not give, at least one.
        total: How many weights the model has.
        others: Names in the file that the model does not know.

    Returns:
        The sentence.
    """
    missing = sorted(name for name, why in absent.items() if not why)
    differing = sorted(f"{name} ({why})" for name, why in absent.items() if why)
    faults = []
    if missing:
        instead = f", and has others that it does not know, such as {_first(others)}"
        faults.append(
            f"lacks {len(missing)} of the {total} weights of the model, such as "
            f"{_first(missing)}{instead if others else ''}"
        )
    if differing:
        faults.append(f"has {len(differing)} of another shape, such as {_first(differing)}")
    return (
        f"{place} {' and '.join(faults)}. They would be random numbers. The file is damaged, or "
        "belongs to another model than the configuration that it is read with: download both anew "
        "from one place, or convert the file with the program that made it."
    )


def say_shapes(found: Collection[int], wanted: Collection[int]) -> str:
    """Say that a weight has another shape, for `Absent`.

    Args:
        found: Its shape in the file.
        wanted: That of the model.
    """
    return f"{_shape(found)} where {_shape(wanted)} is expected"


def _first(names: Collection[str]) -> str:
    return ", ".join(sorted(names)[:_NAMED]) + (", …" if len(names) > _NAMED else "")


def _shape(shape: Collection[int]) -> str:
    return " x ".join(map(str, shape)) or "a number"


def _weights_file(folder: Path, variant: str | None) -> Path:
    """Name a folder's file of weights, if it is one."""
    for kind in ("safetensors", "bin"):
        found = sorted(folder.glob(f"*.{kind}"))
        wanted = [path for path in found if f".{variant}." in path.name] or found
        if len(wanted) == 1:
            return wanted[0]
    return folder


def _is_of_a_layer_beyond(model: nn.Module, name: str) -> bool:
    """Tell whether a weight is of a list of layers that the model has, and none of these."""
    place = model
    for part in re.sub(r"^text_model\.", "", name).split("."):
        children = dict(place.named_children())
        if isinstance(place, nn.ModuleList) and part not in children:
            return part.isdigit()
        if part not in children:
            inner = children.get("text_model")  # transformers before 5.6 has this level
            if inner is None or part not in dict(inner.named_children()):
                return False
            children = dict(inner.named_children())
        place = children[part]
    return False
