"""Names of a text encoder's weights that every release of transformers finds."""

from __future__ import annotations

from pathlib import Path

from sdtune.files.atomic_file import replaced_atomically

__all__ = ["name_for_older_releases"]

_LEVEL = "text_model."
_BESIDE = ("text_projection.",)


def name_for_older_releases(folder: Path) -> None:
    """Give a text encoder that was saved the names of transformers before 5.6.

    5.6 took the level `text_model` out of `CLIPTextModel`, and reads files of both kinds. An older
    release finds nothing in one without it, and fills the model at random with no more than a
    warning.

    Args:
        folder: What `save_pretrained` wrote; its weights are replaced, with the same values.

    Raises:
        OSError: If it has no `model.safetensors`, or that cannot be written.
    """
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        names = list(file.keys())
    if all(name.startswith((_LEVEL, *_BESIDE)) for name in names):
        return
    weights = {
        name if name.startswith((_LEVEL, *_BESIDE)) else f"{_LEVEL}{name}": weight
        for name, weight in load_file(path).items()
    }
    with replaced_atomically(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode
        save_file(weights, temporary, metadata)
        temporary.chmod(mode)  # the library lets nobody else read its files
