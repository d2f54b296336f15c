"""`sdtune caption`: write captions beside pictures that have none."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sdtune._wording import counted
from sdtune.commands.errors import CallError, on_one_line
from sdtune.commands.quiet import quiet_misleading_messages
from sdtune.files.printable_text import show

if TYPE_CHECKING:
    from sdtune.data.caption_files import CaptionedFolder

__all__ = ["caption"]

_SHOWN = 5
_LISTED = 20


def caption(
    folder: Path,
    *,
    captioner: Literal["blip", "clip", "wd"] = "blip",
    model: str | None = None,
    subject: str = "",
    threshold: float = 0.35,
    character_threshold: float = 0.35,
    words: Path | None = None,
    overwrite: bool = False,
    caption_column: str | None = None,
    batch_size: int = 8,
    device: str | None = None,
) -> int:
    """Write a caption file beside each picture that has no caption.

    Captions that are there are kept. What could not be captioned is listed at the end.

      sdtune caption photos/
      sdtune caption photos/ --subject "a robot"
      sdtune caption drawings/ --captioner wd --threshold 0.4
      sdtune caption emoji/ --captioner clip

    Args:
        folder: Folder with pictures, at any depth.
        captioner: `blip`: sentences, for photographs. `wd`: a WD 1.4 tagger's tags, for drawings
            in anime style; needs onnxruntime. `clip`: phrases that fit best, by default nano's
            things and backgrounds, offline.
        model: A folder, or a Hugging Face id; by default Salesforce/blip-image-captioning-base,
            SmilingWolf/wd-v1-4-moat-tagger-v2 or nano's CLIP.
        subject: What all the pictures show, such as "a robot": every caption begins with it, and
            goes on with what is beside it.
        threshold: How sure the tagger is of a tag, in [0, 1].
        character_threshold: How sure it is of a character's name, in [0, 1].
        words: A text file with phrases for `clip`, one a line; of each block between blank lines
            one is chosen.
        overwrite: Whether caption files that are there are replaced.
        caption_column: What the folder's metadata.jsonl or metadata.csv calls a caption, as
            `data.caption_column` of the training; by default `text`. A picture that has one there
            keeps it.
        batch_size: Pictures that the model sees at once.
        device: Where it runs, such as `cuda`; by default the GPU if there is one.

    Returns:
        The exit code.

    Raises:
        CallError: If the folder or the model is wrong.
    """
    quiet_misleading_messages()
    # only now: they bring torch and transformers along
    import torch

    from sdtune.captioning.captioner import CaptionerSettings
    from sdtune.captioning.registry import load_captioner
    from sdtune.data.caption_files import caption_folder, folder_problems

    problems = folder_problems(folder, caption_column)
    if batch_size < 1:
        problems.append(f"Expected `--batch_size` to be a positive integer, but got {batch_size}.")
    if problems:
        raise CallError(problems)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    settings = CaptionerSettings(model, subject, threshold, character_threshold, words, device)
    try:
        loaded = load_captioner(captioner, settings)
    except (ImportError, OSError, ValueError) as error:
        raise CallError(getattr(error, "problems", [on_one_line(error)])) from error
    done = caption_folder(
        folder,
        loaded,
        overwrite=overwrite,
        batch_size=batch_size,
        caption_column=caption_column,
    )
    _show(folder, done)
    return 2 if done.problems else 0


def _show(folder: Path, done: "CaptionedFolder") -> None:
    for path, text in list(done.written.items())[:_SHOWN]:
        show(f"{path.relative_to(folder)}: {text}")
    kept = f", {done.kept} had one and keep it" if done.kept else ""
    show(f"captions:    {len(done.written)} written{kept}")
    if done.problems:
        have = counted(len(done.problems), "picture has", "pictures have")
        show(f"sdtune: {have} no caption:", file=sys.stderr)
        for problem in done.problems[:_LISTED]:
            show(f"  - {problem}", file=sys.stderr)
        if len(done.problems) > _LISTED:
            show(f"  - and {len(done.problems) - _LISTED} more", file=sys.stderr)
