"""`sdtune resize`: a LoRA of a lower rank."""

from pathlib import Path

from sdtune.commands.quiet import quiet_misleading_messages
from sdtune.commands.tools import base_of, kept_lines, refusing
from sdtune.files.printable_text import show

__all__ = ["resize"]


def resize(
    adapter: Path,
    *,
    output: Path,
    rank: int | None = None,
    share: float = 1.0,
    base: str | None = None,
    overwrite: bool = False,
) -> None:
    """Reduce a LoRA to a lower rank, the nearest one by singular values, and say what is kept.

      sdtune resize style.safetensors --rank 8 --output style_8.safetensors --base sd15.safetensors
      sdtune resize runs/style_lora/version_0 --share 0.95 --output small

    Args:
        adapter: A LoRA's file, folder, or run folder.
        output: A folder; or a .safetensors file, which gets kohya's format.
        rank: No module has more.
        share: Above 0 and at most 1: each module has the least rank that keeps this share of its
            squared change.
        base: What it was trained on, as in a recipe; by default its run's own, else nano.
        overwrite: Write over files that sdtune wrote.

    Raises:
        CallError: If the adapter, the base or a size is wrong.
    """
    quiet_misleading_messages()
    from sdtune.adapters.adapter_files import drawn_with, header_of
    from sdtune.adapters.lora_tools import resize_lora
    from sdtune.adapters.writing import check_free, write_adapters

    with refusing():
        check_free(output, overwrite=overwrite)
        adapters, model, kept = resize_lora(base_of(adapter, base), adapter, rank, share)
        metadata = {"sdtune.technique": "resize", **drawn_with([header_of(adapter)])}
        path = write_adapters(adapters, model, output, metadata)
    show(*[f"adapter:     {path}", *kept_lines(kept)])
