"""What a file in the original layout lacks of the model that it is read for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Size, Tensor, nn

from sdtune.files.whole_weights import NotWholeError, say_shapes, say_what_is_absent
from sdtune.models.empty_parts import make_empty_part
from sdtune.models.families import Family
from sdtune.models.original_layout import name_as_original

__all__ = ["check_no_weight_is_empty", "explain_absent"]


def explain_absent(
    path: Path, header: Mapping[str, Tensor], family: Family, config: Path
) -> str | None:
    """Find out which weights a file lacks, or has in other shapes.

    diffusers leaves them empty or stops at the first, by its own names; here all are found, by the
    names that the file would have them under.

    Args:
        path: The file, for the message.
        header: Its names -> tensors of the right shapes.
        family: Its family.
        config: The folder with the configurations.

    Returns:
        One sentence, or None if nothing is missing, or the family has names of its own.

    Raises:
        ValueError: If a configuration cannot be read, or is of no such layout.
    """
    unet, vae, *text_encoders = (
        make_empty_part(name, config / name / "config.json")
        for name in ("unet", "vae", *family.text_encoder_names)
    )
    expected = name_as_original(unet, vae, text_encoders)
    if not all(name.startswith(tuple(family.single_file_parts)) for name in expected):
        return None  # a family with names of its own
    absent = {name: "" for name in expected if name not in header}
    for name in expected.keys() - absent.keys():
        found, wanted = header[name].shape, expected[name].shape
        if _essential(found) != _essential(wanted):
            absent[name] = say_shapes(found, wanted)
    return say_what_is_absent(path, absent, len(expected)) if absent else None


def check_no_weight_is_empty(part: nn.Module, path: Path, name: str) -> None:
    """Check that a part that was loaded has all its values.

    Args:
        part: The part.
        path: The file that it was read from, for the message.
        name: Of the part, for the message.

    Raises:
        NotWholeError: If a weight is on the meta device still.
    """
    weights = part.state_dict()
    empty = {each: "" for each, weight in weights.items() if weight.is_meta}
    if empty:
        raise NotWholeError(say_what_is_absent(f"{path} ({name})", empty, len(weights)))


def _essential(shape: Size) -> list[int]:
    """Drop the sides of 1 that a layer has as a convolution and not as a matrix."""
    return [side for side in shape if side != 1]
