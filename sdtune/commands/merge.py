"""`sdtune merge`: adapters into one, or into their base."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from sdtune.commands.quiet import quiet_misleading_messages
from sdtune.commands.tools import base_of, kept_lines, refusing
from sdtune.files.printable_text import show
from sdtune.files.text_file import read_lines

__all__ = ["merge", "problems"]

_BACKGROUNDS = ("a white background", "a dotted pink and blue background", "a green background")


def merge(
    adapters: list[Path],
    *,
    output: Path,
    base: str | None = None,
    weights: list[float] | None = None,
    rank: int | None = None,
    into_base: bool = False,
    dtype: Literal["float32", "float16"] = "float32",
    texts: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Put adapters together, or into their base, without training.

    LoRAs are added, exactly: their ranks add, or are reduced to `rank` by singular values; words
    that go with them are gathered. Two or more whose words have nothing but keys and values (of
    MultiConceptModule) are merged so that each word is read as by its own adapter. With `into_base`
    the result is a whole model.

      sdtune merge style.safetensors cat.safetensors --weights 0.8 1 --output both
      sdtune merge runs/cat/version_0 runs/dog/version_0 --output both
      sdtune merge style.safetensors --into_base --base sd15.safetensors --output styled.safetensors

    Args:
        adapters: Adapters or run folders.
        output: A folder; or a .safetensors file, in kohya's format for a LoRA, and in the original
            layout for a whole model.
        base: What the adapters were trained on, as in a recipe; by default the first one's run's
            own, else nano.
        weights: What each LoRA, or with `into_base` the change by each adapter, is multiplied by; 1
            by default.
        rank: Rank of the sum of LoRAs; by default all ranks together, which loses nothing.
        into_base: Write the base with the adapters worked into it.
        dtype: Type of a whole model's weights.
        texts: For words with keys and values: a file with a text on each line, what the model shall
            go on drawing as before; by default some hundred things on backgrounds.
        overwrite: Write over files that sdtune wrote.

    Raises:
        CallError: If an adapter, the base or the texts are wrong.
    """
    quiet_misleading_messages()
    from sdtune.adapters.merging import are_subjects
    from sdtune.adapters.writing import check_free

    with refusing():
        check_free(output, overwrite=overwrite)
        base = base_of(adapters[0], base)
        if into_base:
            lines = _into_base(adapters, weights, base, output, dtype)
        elif weights is None and rank is None and are_subjects(adapters):
            lines = _subjects(adapters, base, output, _texts(texts))
        else:
            lines = _loras(adapters, weights, rank, base, output)
    show(*lines)


def problems(
    adapters: Sequence[Path] = (),
    weights: Sequence[float] | None = None,
    rank: int | None = None,
    into_base: bool = False,
    dtype: str = "float32",
    texts: Path | None = None,
    **others: object,
) -> Iterator[str]:
    """Say what is wrong with a call, apart from what the files hold."""
    if weights is not None and len(weights) != len(adapters):
        yield (
            f"Expected `--weights` to be one for each of {len(adapters)} adapters, but got "
            f"{len(weights)}."
        )
    if rank is not None and into_base:
        yield "Expected `--rank` without `--into_base`: a whole model has no rank."
    if dtype != "float32" and not into_base:
        yield "Expected `--dtype` with `--into_base`: it is of a whole model's weights."
    if texts is not None and (into_base or rank is not None or weights is not None):
        yield "Expected `--texts` alone: it is for words with keys and values of their own."


def _into_base(
    adapters: Sequence[Path],
    weights: Sequence[float] | None,
    base: str,
    output: Path,
    dtype: str,
) -> list[str]:
    import torch

    from sdtune.adapters.whole_model import merge_into_base, write_whole_model

    model = merge_into_base(base, adapters, weights)
    words = [each for prompt in model.substitutions.values() for each in prompt.split()]
    write_whole_model(model, base, output, getattr(torch, dtype))
    return [f"model:       {output}", *([f"words:       {' '.join(words)}"] if words else [])]


def _loras(
    adapters: Sequence[Path],
    weights: Sequence[float] | None,
    rank: int | None,
    base: str,
    output: Path,
) -> list[str]:
    from sdtune.adapters.adapter_files import drawn_with, header_of, trained_number
    from sdtune.adapters.lora_tools import merge_loras
    from sdtune.adapters.writing import write_adapters

    merged, model, kept = merge_loras(base, adapters, weights, rank)
    headers = [header_of(each) for each in adapters]
    metadata = {"sdtune.technique": "merge", **drawn_with(headers)}
    path = write_adapters(merged, model, output, metadata)
    layers = {trained_number(each, "clip_skip") for each in headers}
    told = f"clip_skip:   {max(layers)}, with which not all of them were trained"
    return [
        f"adapter:     {path}",
        *(kept_lines(kept) if kept else ()),
        *([told] if len(layers) > 1 else ()),
    ]


def _subjects(adapters: Sequence[Path], base: str, output: Path, texts: Sequence[str]) -> list[str]:
    from sdtune.adapters.adapter_files import drawn_with, header_of
    from sdtune.adapters.merging import merge_adapters
    from sdtune.adapters.pipeline import find_adapter_files
    from sdtune.adapters.registry import read_words
    from sdtune.adapters.writing import write_adapters

    merged, model = merge_adapters(base, adapters, texts)
    metadata = {"sdtune.technique": "merge", **drawn_with([header_of(each) for each in adapters])}
    write_adapters(merged, model, output, metadata)
    words = " ".join(word.placeholder_token for word in read_words(find_adapter_files(output)))
    return [f"adapter:     {output}", f"words:       {words}"]


def _texts(path: Path | None) -> list[str]:
    if path is None:
        from sdtune.nano.making.objects import OBJECTS, with_article

        return [f"{with_article(name)} on {ground}" for name in OBJECTS for ground in _BACKGROUNDS]
    return read_lines(path, "--texts", "a text")
