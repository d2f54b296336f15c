"""An adapter that training goes on from: found, checked, and put where what learns is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from sdtune.adapters import registry
from sdtune.adapters.adapter import Adapter
from sdtune.adapters.lora.format import LoRAFormat
from sdtune.adapters.pipeline import find_adapter_files
from sdtune.adapters.words import TokenEmbeddingAdapter
from sdtune.models import StableDiffusion
from sdtune.models.skeleton import load_skeleton
from sdtune.techniques.learned import Learned

__all__ = ["adapter_sha256", "start_from", "starting_problems"]


def start_from(
    adapter: str, learns: Sequence[Learned], model: StableDiffusion, stated: Mapping[str, object]
) -> None:
    """Give what learns the values that an adapter has.

    Args:
        adapter: A file or folder of any format, see `find_adapter_files`.
        learns: What learns, added to the model before.
        model: The model.
        stated: Arguments of the technique that are not left at their defaults.

    Raises:
        FileNotFoundError: If there is no such adapter.
        ValueError: If it does not fit the model, contradicts an argument, or holds something that
            does not learn here.
    """
    for path in find_adapter_files(adapter):
        held: set[type[Adapter]] = {registry.recognise(path).adapter_type}
        if registry.read_words([path]):
            held.add(TokenEmbeddingAdapter)
        for each in learns:
            held -= each.start_from(model, path, stated)
        if held:
            raise ValueError(
                f"Expected `adapter` to hold what learns here, but nothing does that could go on "
                f"from {' and '.join(sorted(each.kind for each in held))} in {path}: take the "
                "technique that wrote it."
            )


def starting_problems(
    adapter: str, base: str, learns: Sequence[Learned], stated: Mapping[str, object]
) -> list[str]:
    """List what keeps training from going on from an adapter; loads no weights of the base.

    Args:
        adapter: As in `start_from`.
        base: What the model will be loaded from.
        learns: What will learn.
        stated: As in `start_from`.

    Returns:
        One sentence each.
    """
    problems: list[str] = []
    try:
        parts = load_skeleton(base)
        for path in find_adapter_files(adapter):
            form = registry.recognise(path)
            if isinstance(form, LoRAFormat):
                form.read(path, parts, base=base)
            for each in learns:
                problems += each.starting_problems(path, parts, stated)
    except (FileNotFoundError, ValueError) as error:
        problems.append(f"`adapter`: {error}")
    return problems


def adapter_sha256(adapter: str) -> str:
    """Hash the files of an adapter, so that a record names it without its place.

    Args:
        adapter: As in `start_from`.

    Returns:
        SHA-256 of the file's bytes, or of all files' hashes in order if there are several.
    """
    found = find_adapter_files(adapter)
    files = [
        each
        for path in found
        for each in (sorted(path.rglob("*.safetensors")) if path.is_dir() else [path])
    ]
    hashes = [hashlib.sha256(Path(each).read_bytes()).hexdigest() for each in files]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
