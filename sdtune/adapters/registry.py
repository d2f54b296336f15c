"""Which kinds of adapters there are, and which files hold them: the one place that knows all.

A kind is a subclass of `Adapter`, a format one of `AdapterFormat`. A new one is a file and a line
below; a package of somebody else's calls `register`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sdtune.adapters.adapter import Adapter
from sdtune.adapters.format import AdapterFormat
from sdtune.adapters.keys_values.custom_diffusion_format import CustomDiffusionFormat
from sdtune.adapters.lora.diffusers_format import DiffusersLoRAFormat
from sdtune.adapters.lora.kohya_format import KohyaFormat
from sdtune.adapters.lora.peft_format import PEFTFormat
from sdtune.adapters.usage import Program
from sdtune.adapters.whole_unet.diffusers_format import DiffusersUNetFormat
from sdtune.adapters.words.adapter import TokenEmbeddingAdapter
from sdtune.adapters.words.loading import load_word
from sdtune.adapters.words.textual_inversion_format import TextualInversionFormat
from sdtune.files import tensor_file
from sdtune.models.stable_diffusion import StableDiffusion

__all__ = [
    "find_format",
    "find_in_folder",
    "formats",
    "formats_of",
    "load_words",
    "made_for",
    "own_keys",
    "read_words",
    "recognise",
    "register",
    "written_files",
]

# of a kind, the first is the one that adapters are saved in; a path is shown to the last one first,
# so that what is more particular stands below what is more general
_formats: list[AdapterFormat[Any]] = [
    TextualInversionFormat(),
    DiffusersLoRAFormat(),
    KohyaFormat(),
    PEFTFormat(),
    CustomDiffusionFormat(),
    DiffusersUNetFormat(),
]


def register(new: AdapterFormat[Any]) -> None:
    """Add a format, and with it the kind that it holds if that is new.

    Args:
        new: The format. It is asked whether it recognises a path before all that are there.

    Raises:
        ValueError: If the kind has a format of that name.
    """
    if any(each.name == new.name for each in formats_of(new.adapter_type)):
        raise ValueError(
            f"Expected a format of {new.adapter_type.kind} of a new name, but there is `{new.name}`"
            " already."
        )
    _formats.append(new)


def formats() -> tuple[AdapterFormat[Any], ...]:
    """List all formats."""
    return tuple(_formats)


def formats_of(adapter_type: type[Adapter]) -> list[AdapterFormat[Any]]:
    """List the formats of a kind; adapters are saved in the first.

    Args:
        adapter_type: The kind.

    Returns:
        Its formats. Empty if it is not registered.
    """
    return [each for each in _formats if each.adapter_type is adapter_type]


def find_format(path: str | Path) -> AdapterFormat[Any] | None:
    """Find the format of a file or folder, without reading tensors.

    Args:
        path: The file or folder.

    Returns:
        The format, or None if it is of none.

    Raises:
        FileNotFoundError: If there is nothing.
    """
    path = Path(path)
    header = tensor_file.read_header(path)
    return next((each for each in reversed(_formats) if each.recognises(path, header)), None)


def recognise(path: str | Path) -> AdapterFormat[Any]:
    """As `find_format`, where there must be one.

    Args:
        path: The file or folder.

    Returns:
        The format.

    Raises:
        FileNotFoundError: If there is nothing.
        ValueError: If it is of none.
    """
    found = find_format(path)
    if found is None:
        known = dict.fromkeys(f"{each.adapter_type.kind} ({each.name})" for each in _formats)
        raise ValueError(
            f"Expected {path} to be an adapter in a layout that is known, {', '.join(known)}, but "
            f"{_contents(Path(path))}."
        )
    return found


def _contents(path: Path) -> str:
    if path.is_dir():
        return "it is a folder of something else"
    try:
        tensors = tensor_file.read_tensors(path)
    except ValueError as error:
        return f"it is no file of tensors: {error}"
    return f"its first tensor is `{next(iter(tensors))}`" if tensors else "it holds no tensor"


def find_in_folder(folder: Path) -> list[Path]:
    """Find the adapters in a folder: of each kind one, in the first of its formats that is there.

    Args:
        folder: The folder; it need not exist.

    Returns:
        Their paths, in the order in which they are loaded.
    """
    found: dict[type[Adapter], Path] = {}
    for each in _formats:
        path = each.find(folder)
        if path is not None:
            found.setdefault(each.adapter_type, path)
    return [found[kind] for kind in sorted(found, key=lambda kind: not kind.loads_first)]


def written_files(folder: Path) -> list[Path]:
    """List what sdtune wrote into a folder: adapters of all formats, and other tensors.

    Args:
        folder: The folder, with all below it.

    Returns:
        Files.
    """
    files: dict[Path, None] = {}
    for path in sorted(folder.rglob("*")):
        form = find_format(path)
        if form is not None:
            files |= dict.fromkeys(form.written_files(path))
        elif path.is_file() and tensor_file.is_ours(path):
            files[path] = None
    return list(files)


def read_words(paths: Iterable[Path]) -> list[TokenEmbeddingAdapter]:
    """Read the words among an adapter's files, without a model.

    Args:
        paths: Files and folders.

    Returns:
        The words, in their order.
    """
    found = ((find_format(path), path) for path in paths)
    return [word for form, path in found if form is not None for word in form.words(path)]


def load_words(model: StableDiffusion, path: Path) -> None:
    """Put the learned words of a file into a model, and nothing else that is in it.

    Args:
        model: A bundle without these words.
        path: A file or folder.

    Raises:
        ValueError: If it is of no format, or a word is in the vocabulary already.
    """
    form = recognise(path)
    if form.adapter_type.loads_first:
        form.load(model, path)
    else:
        for word in form.words(path):
            load_word(model, word, path)


def own_keys() -> set[str]:
    """List the keys of headers that formats fill by themselves, each for its own files."""
    return {key for each in formats() for key in each.own_keys}


def made_for(program: Program, path: Path) -> tuple[AdapterFormat[Any], Path]:
    """Find the file that a program is given: the same adapter's beside in a format made for it.

    Args:
        program: The program.
        path: An adapter.

    Returns:
        The format and the path.

    Raises:
        ValueError: If `path` is of no format.
    """
    own = recognise(path)
    if program not in own.made_for:
        for each in formats_of(own.adapter_type):
            beside = each.find(path.parent) if program in each.made_for else None
            record = _record(own, path)  # a stranger's says nothing
            if beside is not None and record and _record(each, beside) == record:
                return each, beside
    return own, path


def _record(form: AdapterFormat[Any], path: Path) -> dict[str, str]:
    """Read what sdtune wrote of an adapter's training; two files of one adapter say the same."""
    own, told = own_keys(), form.metadata(path)
    return {key: told[key] for key in told if key.startswith("sdtune.") and key not in own}
