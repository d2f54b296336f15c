"""`sdtune extract`: the LoRA that is nearest to the difference of two bases."""

from collections.abc import Mapping
from pathlib import Path

from sdtune.commands.quiet import quiet_misleading_messages
from sdtune.commands.tools import kept_lines, refusing
from sdtune.files.printable_text import show

__all__ = ["extract"]


def extract(
    base: str,
    tuned: str,
    *,
    output: Path,
    rank: int | None = None,
    share: float = 1.0,
    overwrite: bool = False,
) -> None:
    """Find the LoRA that is nearest to what tuning did to a base, and say what it keeps.

      sdtune extract sd15.safetensors anime.safetensors --rank 32 --output anime_lora.safetensors
      sdtune extract nano runs/dreambooth/version_0 --rank 16 --output cat

    Args:
        base: What was tuned, as in a recipe.
        tuned: Another base of its architecture, or an adapter of any kind: a run of a whole UNet, a
            DoRA, a LoHa.
        output: A folder; or a .safetensors file, which gets kohya's format.
        rank: No module has more.
        share: Above 0 and at most 1: each module has the least rank that keeps this share of its
            squared change.
        overwrite: Write over files that sdtune wrote.

    Raises:
        CallError: If one of them or a size is wrong.
    """
    quiet_misleading_messages()
    from sdtune.adapters.adapter_files import drawn_with
    from sdtune.adapters.lora_tools import extract_lora
    from sdtune.adapters.writing import check_free, write_adapters

    with refusing():
        check_free(output, overwrite=overwrite)
        adapters, model, kept = extract_lora(base, tuned, rank, share)
        metadata = {"sdtune.technique": "extract", **drawn_with(_headers(tuned))}
        path = write_adapters(adapters, model, output, metadata)
    show(*[f"adapter:     {path}", *kept_lines(kept)])


def _headers(tuned: str) -> list[Mapping[str, str]]:
    """Read the header of an adapter; a base has none."""
    from sdtune.adapters.adapter_files import header_of

    try:
        return [header_of(Path(tuned))]
    except (OSError, ValueError):
        return []
