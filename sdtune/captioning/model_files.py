"""Where a captioner's model is: a folder here, or a repository of the Hugging Face hub."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sdtune.files.whole_weights import NotWholeError

__all__ = ["explained", "find_files"]

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def find_files(model: str, names: tuple[str, ...]) -> list[Path]:
    """Find some files of a model.

    Args:
        model: A folder, or a Hugging Face id; from the local cache when the hub is switched off.
        names: The files in it.

    Returns:
        Their paths here.

    Raises:
        ValueError: If one of them is missing; one sentence says what to do.
    """
    from huggingface_hub import hf_hub_download, is_offline_mode

    folder = Path(model)
    if folder.is_dir():
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise ValueError(f"Expected {model} to hold {' and '.join(missing)}, but it does not.")
        return [folder / name for name in names]
    with explained(model):
        return [
            Path(hf_hub_download(model, name, local_files_only=is_offline_mode())) for name in names
        ]


@contextmanager
def explained(model: str) -> Iterator[None]:
    """Say in one sentence why a model could not be loaded.

    Args:
        model: A folder, or a Hugging Face id.

    Yields:
        Nothing.

    Raises:
        ValueError: If what is done inside fails as loading does.
    """
    from huggingface_hub import is_offline_mode
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        if Path(model).exists() or isinstance(error, NotWholeError):
            raise ValueError(f"The model {model} could not be loaded: {reason}") from error
        if not _HUB_ID.fullmatch(model):
            raise ValueError(
                f"Expected `model` to be a folder or a Hugging Face id, but got `{model}`."
            ) from error
        state = "is switched off by HF_HUB_OFFLINE" if is_offline_mode() else "does not offer it"
        raise ValueError(
            f"The model {model} is neither a folder here nor complete in the local Hugging Face "
            f"cache, and the hub {state} ({reason}): run `hf download {model}` with a network, "
            "or give `--model` a folder."
        ) from error
