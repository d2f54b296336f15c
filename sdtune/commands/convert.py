"""`sdtune convert`: an adapter, or a folder of checkpoints, in another file format."""

from pathlib import Path
from typing import Literal

from sdtune.commands.quiet import quiet_misleading_messages
from sdtune.commands.tools import base_of, refusing
from sdtune.files.printable_text import show

__all__ = ["convert"]


def convert(
    adapter: Path,
    *,
    to: Literal["diffusers", "kohya", "peft"],
    output: Path,
    base: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write an adapter in another file format, and prove it by loading it back.

      sdtune convert erica.safetensors --to diffusers --output erica --base sd15.safetensors
      sdtune convert runs/style_lora/version_0 --to kohya --output for_comfyui

    Args:
        adapter: A file, a folder, or a run folder, of which every checkpoint is converted.
        to: `kohya` for A1111, ComfyUI and most programs, `diffusers`, or `peft`.
        output: A folder; for one adapter, a .safetensors file may be named.
        base: What it was trained on, as in a recipe; by default its run's own, else nano.
        overwrite: Write over files that sdtune wrote.

    Raises:
        CallError: If the adapter or the base is wrong, or the format cannot hold the adapter.
    """
    quiet_misleading_messages()
    from sdtune.adapters.conversion import convert_adapters
    from sdtune.adapters.writing import check_free

    with refusing():
        check_free(output, overwrite=overwrite)
        written = convert_adapters(adapter, to, output, base_of(adapter, base))
    for path in written.values():
        show(path)
