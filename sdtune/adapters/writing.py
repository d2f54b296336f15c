"""Adapters written by a tool: in the format that was asked for, proved, and over nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sdtune.adapters import registry
from sdtune.adapters.adapter import Adapter
from sdtune.adapters.adapter_set import BESIDE_KEY, AdapterSet, header_for
from sdtune.adapters.format import AdapterFormat
from sdtune.adapters.lora.format import LoRAFormat
from sdtune.adapters.lora.layers import tunable_parts
from sdtune.adapters.lora.placement import place_updates
from sdtune.adapters.words.adapter import TokenEmbeddingAdapter
from sdtune.adapters.words.layers import put_token_embedding
from sdtune.adapters.words.placeholder import Placeholder
from sdtune.files import tensor_file
from sdtune.models.stable_diffusion import StableDiffusion

__all__ = [
    "carried_metadata",
    "check_format",
    "check_free",
    "load_files",
    "put_words",
    "write_adapters",
]

_SUFFIX = ".safetensors"


def check_free(output: Path, *, overwrite: bool) -> None:
    """Check that nothing is where a tool is to write.

    Args:
        output: A file or folder.
        overwrite: Whether the user allowed it.

    Raises:
        FileExistsError: If a file, or a folder that is not empty, is there.
    """
    is_there = any(output.iterdir()) if output.is_dir() else output.exists()
    if is_there and not overwrite:
        raise FileExistsError(
            f"Expected `--output` to be new, but {output} is there: choose another, or give "
            "`--overwrite`."
        )


def load_files(model: StableDiffusion, paths: Sequence[Path]) -> AdapterSet:
    """Put an adapter's files into a model, as they are while they are trained.

    Args:
        model: A bundle without an adapter.
        paths: Files, as `find_adapter_files` finds them.

    Returns:
        The adapters, each word by itself.

    Raises:
        ValueError: If one does not fit the model.
    """
    words = registry.read_words(paths)
    put_words(model, words)
    adapters: list[Adapter] = [*words]
    for path in paths:
        form = registry.recognise(path)
        if form.adapter_type.loads_first:
            continue
        if isinstance(form, LoRAFormat):  # words that are in the file too are there already
            parts = tunable_parts(model)
            place_updates(parts, form.read(path, parts))
        else:
            form.load(model, path)
        adapters.append(form.adapter_type.from_model(model))
    return AdapterSet(*adapters)


def put_words(model: StableDiffusion, words: Iterable[TokenEmbeddingAdapter]) -> None:
    """Put learned words into a model, in place and frozen, as they are while they are trained.

    Args:
        model: A bundle without these words.
        words: The words.

    Raises:
        ValueError: If one is in the vocabulary already, or for other text encoders.
    """
    for word in words:
        placeholder = Placeholder(word.placeholder_token, word.num_vectors, word.initializer_token)
        for rows in put_token_embedding(model, placeholder, word.vectors):
            rows.requires_grad_(False)


def carried_metadata(path: Path) -> dict[str, str]:
    """Read the strings of a header that go with an adapter into another file.

    Args:
        path: An adapter's file or folder.

    Returns:
        All but what the formats write by themselves.
    """
    left_out = {*tensor_file.RESERVED, BESIDE_KEY, *registry.own_keys()}
    header = registry.recognise(path).metadata(path)
    return {key: value for key, value in header.items() if key not in left_out}


def check_format(adapter_type: type[Adapter], to: str) -> None:
    """Check that a kind has a format; learned words have one that all programs read.

    Args:
        adapter_type: The kind.
        to: The format's name, in upper or lower case.

    Raises:
        ValueError: If it has none of this name.
    """
    forms = registry.formats_of(adapter_type)
    names = [each.name for each in forms]
    if to.lower() not in [each.lower() for each in names] and not (
        adapter_type.loads_first and len(forms) == 1
    ):
        raise ValueError(
            f"Expected a format that holds {adapter_type.kind}, which is {' or '.join(names)}, but "
            f"got `{to}`."
        )


def write_adapters(
    adapters: AdapterSet,
    model: StableDiffusion,
    output: Path,
    metadata: Mapping[str, str],
    to: str | None = None,
) -> Path:
    """Write adapters, and prove each file by loading it back.

    Args:
        adapters: What to write.
        model: The model that holds them; it is left as it was.
        output: A folder; or a `.safetensors` file, if there is one adapter.
        metadata: Strings for the headers.
        to: Name of the format. None writes a folder in every format that can hold them, as a run
            does, and a file in kohya's, which most programs read.

    Returns:
        The file, or the last one in the folder.

    Raises:
        AdapterVerificationError: If one of them, loaded back, predicts anything else.
        FileExistsError: If a file of such a name is there which sdtune did not write.
        ValueError: If a kind of adapter has no such format, or this one loses some of it.
    """
    is_file = output.suffix == _SUFFIX
    name = to or ("kohya" if is_file else None)
    if name is None:
        path = adapters.save(output, metadata)
        adapters.verify(path, model)
        return path
    forms = [_form_for(each, name) for each in adapters.adapters]
    if not is_file:
        chosen = adapters.only(name)
        path = chosen.save(output, metadata)
        chosen.verify(path, model)
        return path
    if len(forms) > 1 or not forms[0].file_name.endswith(_SUFFIX):
        what = "several files" if len(forms) > 1 else "a folder"
        raise ValueError(
            f"Expected `--output` to be a folder, for the adapter is {what} in the {name} format, "
            f"but got {output}."
        )
    [adapter] = adapters.adapters
    forms[0].write(adapter, output, header_for(adapter, metadata))
    forms[0].verify(adapter, output, model)
    return output


def _form_for(adapter: Adapter, to: str) -> AdapterFormat[Any]:
    """Find a format by its name; of a kind of one format, that one."""
    check_format(type(adapter), to)
    forms = registry.formats_of(type(adapter))
    found = next((each for each in forms if each.name.lower() == to.lower()), forms[0])
    if not found.holds(adapter):
        others = [each.name for each in forms if each.holds(adapter)]
        raise ValueError(
            f"Expected a format that holds all of this {adapter.kind}, such as "
            f"{' or '.join(others) or 'none'}, but {found.name} loses some of it."
        )
    return found
