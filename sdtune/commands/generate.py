"""`sdtune generate`: draw pictures with adapters, by prompts or like another picture."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sdtune._wording import counted
from sdtune.commands.call import read_call
from sdtune.commands.quiet import quiet_misleading_messages
from sdtune.commands.tools import recorded_base, refusing
from sdtune.drawing.generation_call import GenerationCall
from sdtune.files.printable_text import show
from sdtune.run_folder.run_recipe import precision_of

if TYPE_CHECKING:
    from sdtune.drawing.drawer import Drawer
    from sdtune.drawing.request import Request
    from sdtune.drawing.settings import PictureSettings

__all__ = ["main"]

_NANO = "nano"
_OVERRIDES = (
    "negative_prompt",
    "num_inference_steps",
    "guidance_scale",
    "sampler",
    "width",
    "height",
    "clip_skip",
    "max_prompt_chunks",
)


def main(arguments: Sequence[str]) -> int:
    """Draw pictures, and write them with their settings.

    Args:
        arguments: The command line after `sdtune generate`.

    Returns:
        The exit code: 0, or 1 if a picture holds what is not a number.

    Raises:
        CallError: If the call, an adapter, the base or the picture is wrong.
    """
    given = read_call(GenerationCall, "sdtune generate", arguments, _problems)
    call = GenerationCall(**given)
    quiet_misleading_messages()
    # only now: it brings torch along
    from sdtune.commands.drawing_progress import DrawingProgress
    from sdtune.drawing.album import Album

    with refusing():
        drawer, request, settings = _planned(call)
    for line in _notes(request, drawer):
        show(f"note: {line}", file=sys.stderr)
    album = Album(call.output)
    steps = sum(each.num_inference_steps for each in settings)
    with DrawingProgress(steps, len(settings)) as progress:
        for path in album.draw(drawer, settings, progress.count):
            progress.wrote(path)
    if call.grid and album.drawn:
        show(album.write_grid())
    if album.lost:
        hold = counted(
            album.lost, "picture is black, for it holds", "pictures are black, for they hold"
        )
        show(
            f"sdtune: {hold} what is not a number: try `--precision float32`.",
            file=sys.stderr,
        )
    return 1 if album.lost else 0


def _planned(call: GenerationCall) -> "tuple[Drawer, Request, list[PictureSettings]]":
    """Load what draws, and say what it draws; all that is wrong is found here."""
    from sdtune.drawing.drawer import Drawer
    from sdtune.drawing.picture_settings import read_settings
    from sdtune.drawing.prompts import read_prompts
    from sdtune.drawing.request import Request, base_of_picture, run_sampling
    from sdtune.drawing.sources import adapter_source

    paths = call.adapters or []
    picture = call.like
    recorded = None if picture is None else read_settings(picture)
    texts = [*(call.prompt or []), *(read_prompts(call.prompts) if call.prompts else [])]
    overrides = {name: getattr(call, name) for name in _OVERRIDES}
    request = Request(
        [adapter_source(each, call.checkpoint) for each in paths],
        call.scale,
        texts or None,
        call.seeds,
        {name: value for name, value in overrides.items() if value is not None},
        is_base_given=call.base is not None,
    )
    base = call.base or (recorded_base(paths[0]) if paths else None)
    precision = call.precision or (precision_of(paths[0]) if paths else "float32")
    if picture is not None and recorded is not None:
        request = request.like(recorded, picture)
        others = [recorded_base(each.path) for each in request.sources]
        base = base or base_of_picture(recorded.base, others, picture)
        precision = call.precision or recorded.precision
    drawer = Drawer(base or _NANO, request.sources, precision=precision, device=call.device)
    if recorded is not None:
        settings = request.settings_like(recorded, drawer)
    else:
        settings = request.settings(drawer, run_sampling(paths[0]) if paths else None)
    for each in settings:
        drawer.check(each, is_base_known=base is not None)
    return drawer, request, settings


def _problems(
    adapters: Sequence[Path] | None = None,
    prompt: Sequence[str] | None = None,
    scale: Sequence[float] | None = None,
    checkpoint: str | None = None,
    like: Path | None = None,
    output: Path | None = None,
    **others: object,
) -> Iterator[str]:
    adapters = adapters or []
    if scale is not None and like is None and len(scale) != len(adapters):
        yield (
            f"Expected `--scale` to be one for each of {len(adapters)} adapters, but got "
            f"{len(scale)}."
        )
    if checkpoint is not None and not any((each / "adapter").is_dir() for each in adapters):
        yield (
            "Expected `--checkpoint` with a run folder, such as runs/style_lora/version_0, but "
            "none is given."
        )
    if output is not None and output.exists() and not output.is_dir():
        yield f"Expected `--output` to name a folder, but {output} is a file."
    if any(not each.strip() for each in prompt or ()):
        yield "Expected `--prompt` to be a text, but one of them is empty."


def _notes(request: "Request", drawer: "Drawer") -> Iterator[str]:
    for each in request.sources:
        digest = each.metadata.get("sdtune.base_unet_sha256", "")
        if digest and not drawer.is_base(digest):
            yield (
                f"{each.path} was trained on another base than `{drawer.base.source}`, one whose "
                f"UNet has the hash {digest[:10]}; `--base` names it."
            )
