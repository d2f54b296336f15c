"""kohya's file of sample prompts, read into what `sdtune.SampleGrid` is told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sdtune.files.text_file import read_text
from sdtune.importing.kohya_settings import KohyaSettings
from sdtune.importing.outcome import Check, Entry, Outcome, UnfitError, integer, number, special

__all__ = ["sample_every", "sample_prompts"]

_LARGEST = 1_000_000  # bytes
_OPTION = re.compile(r"\s--(\w+)\s+([^\s].*?)(?=\s--\w+\s|\s*$)")
_KNOWN: Mapping[str, tuple[str, Check]] = {
    "w": ("width", integer(8)),
    "h": ("height", integer(8)),
    "d": ("seeds", integer(0)),
    "s": ("num_inference_steps", integer(1)),
    "l": ("guidance_scale", number(least=0)),
    "n": ("negative_prompt", str),
}


def sample_prompts(value: Any, settings: KohyaSettings) -> Outcome:
    """Read the prompts, if their file is beside the configuration.

    Args:
        value: The path.
        settings: All settings.

    Returns:
        The arguments of the grid. Options that not all prompts share are those of the first.

    Raises:
        UnfitError: If it is no such file.
    """
    path = settings.neighbour(str(value))
    if path is None:
        note = "not in the configuration's folder or below: give `prompts` to `sdtune.SampleGrid`"
        return Outcome("no equal", note=note)
    if path.suffix != ".txt":
        return Outcome("no equal", note="only .txt is read: give `prompts` to `sdtune.SampleGrid`")
    try:
        lines = [each.strip() for each in read_text(path, largest=_LARGEST).splitlines()]
    except (OSError, ValueError) as error:
        raise UnfitError("a text file in UTF-8") from error
    lines = [each for each in lines if each and not each.startswith("#")]
    read = [_line(each) for each in lines]
    prompts = list(dict.fromkeys(prompt for prompt, _ in read if prompt))
    if not prompts:
        raise UnfitError("a file with a prompt a line")
    first = read[0][1]
    ours: dict[str, Any] = {"SampleGrid.prompts": prompts}
    for name, given in first.items():
        ours[f"SampleGrid.{name}"] = [given] if name == "seeds" else given
    differing = any(options != first for _, options in read)
    return Outcome(
        "taken over", ours, "all are drawn with the first one's options" if differing else ""
    )


def _line(line: str) -> tuple[str, dict[str, Any]]:
    """Part a prompt from its options, such as `--w 512`."""
    options: dict[str, Any] = {}
    for letter, text in _OPTION.findall(line):
        if letter not in _KNOWN:
            continue  # `--am` and others are of networks
        name, check = _KNOWN[letter]
        try:
            options[name] = check(text)
        except UnfitError as error:
            raise UnfitError(f"prompts whose `--{letter}` is {error}") from error
        if name in ("width", "height"):
            options[name] -= options[name] % 8  # as kohya does
    return re.split(r"\s--\w+\s", f"{line} ", maxsplit=1)[0].strip(), options


def sample_every(unit: str) -> Entry:
    """Say when pictures are drawn.

    Args:
        unit: `steps` or `epochs`.
    """

    def convert(value: Any, settings: KohyaSettings) -> Outcome:
        every = integer(0)(value)
        if not settings.get("sample_prompts") or not every:
            return Outcome("meaningless here", note="without prompts, or 0, nothing is drawn")
        if unit == "steps":
            if settings.get("sample_every_n_epochs"):
                return Outcome("meaningless here", note="`sample_every_n_epochs` goes before it")
            return Outcome("taken over", {"SampleGrid.every_n_steps": every})
        note = "pictures are drawn after each epoch"
        return Outcome("taken over" if every == 1 else "no equal", note=note)

    steps = "`every_n_steps` of `sdtune.SampleGrid`"
    return special(steps if unit == "steps" else "1: after each epoch; others: none", convert)
