"""`sdtune inspect`: what a file of an adapter is and says of itself."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sdtune._wording import counted
from sdtune.commands.tools import refusing
from sdtune.files.printable_text import show

if TYPE_CHECKING:
    from sdtune.adapters.inspection import InspectedFile

__all__ = ["inspect"]


def inspect(adapter: Path, *, json: bool = False) -> None:
    """Say what an adapter is: format, base, rank and alpha by layer, words, record, hashes.

      sdtune inspect erica.safetensors
      sdtune inspect runs/style_lora/version_0 --json

    No model is needed. Pickles are read by a reader of tensors alone, or not at all.

    Args:
        adapter: A file, a folder, or a run folder.
        json: Print JSON for other programs.

    Raises:
        CallError: If there is no such file.
        ValueError: If one is damaged; what there is to say of it is printed before.
    """
    from sdtune.adapters.inspection import inspect_adapter

    with refusing():
        found = inspect_adapter(adapter)
    told = [line for each in found for line in ("", *_lines(each))][1:]
    show(*(_as_json(found).split("\n") if json else told))
    damaged = [each for each in found if each.is_damaged]
    if damaged:
        raise ValueError(f"Expected {damaged[0].path} to be whole, but: {damaged[0].notes[0]}")


def _as_json(found: "Sequence[InspectedFile]") -> str:
    import json
    from dataclasses import asdict

    return json.dumps([asdict(each) for each in found], indent=1)


def _lines(file: "InspectedFile") -> Iterator[str]:
    yield file.path
    layout = f"{file.kind} ({file.layout})" if file.kind else "not known"
    types = " ".join(file.dtypes) or "no types"
    yield f"  format   {layout}, {counted(file.tensors, 'tensor')}, {types}"
    yield f"  base     {file.family}"
    if file.words:
        yield f"  words    {', '.join(file.words)}"
    for name, lines in (
        ("layers", list(_layer_lines(file))),
        ("record", [f"{key}: {_short(value)}" for key, value in sorted(file.record.items())]),
        ("hashes", [f"{name}: {value}" for name, value in file.hashes.items()]),
        ("notes", file.notes),
    ):
        for number, line in enumerate(lines):
            yield f"  {'' if number else name:8} {line}"


def _layer_lines(file: "InspectedFile") -> Iterator[str]:
    for each in file.layers:
        size = "full" if each.rank is None else f"rank {each.rank}"
        alpha = "" if each.alpha is None else f", alpha {each.alpha:g}"
        yield f"{each.kind} {size}{alpha}, {each.count} modules: {each.part} {each.names}"


def _short(value: str) -> str:
    line = " ".join(value.split())
    return line if len(line) <= 100 else f"{line[:97]}..."
