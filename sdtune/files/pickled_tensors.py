"""Tensors in pickles, read without running anything that is in them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sdtune.files.regular_file import check_file

__all__ = ["SUFFIXES", "read_pickle"]

SUFFIXES = (".bin", ".ckpt", ".pt", ".pth")
"""Ends of the names of files that are taken for pickles."""


def read_pickle(
    path: str | Path, *, shapes_only: bool = False
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors of a pickle, in folders of dictionaries or not, and nothing else.

    Args:
        path: The file.
        shapes_only: Put the tensors on the meta device, which reads no values.

    Returns:
        Name -> tensor, where `{"a": {"b": tensor}}` is named `a.b` and a `state_dict` around all
        is left out; and the texts and numbers beside them, as texts.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, or is made of more than tensors.
    """
    try:
        check_file(path)  # a pipe would be waited for
        # a dictionary of tensors, in which embeddings were saved at first
        with torch.serialization.safe_globals([nn.ParameterDict]):
            content = torch.load(
                path, map_location="meta" if shapes_only else "cpu", weights_only=True
            )
    except FileNotFoundError:
        raise
    except Exception as error:  # torch meets a damaged file with almost any exception
        raise ValueError(
            f"Expected {path} to be a pickle of tensors alone, but it is damaged or holds more, "
            f"which is not run: get it as safetensors ({type(error).__name__})."
        ) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    tensors: dict[str, Tensor] = {}
    texts: dict[str, str] = {}
    try:
        _collect(content, "", tensors, texts)
    except RecursionError as error:
        raise ValueError(
            f"Expected {path} to be a pickle of tensors, but it is endless."
        ) from error
    return tensors, texts


def _collect(content: Any, name: str, tensors: dict[str, Tensor], texts: dict[str, str]) -> None:
    if isinstance(content, Tensor):
        tensors[name or "tensor"] = content.detach()
    elif isinstance(content, (Mapping, nn.ParameterDict)):
        for key, each in content.items():
            _collect(each, f"{name}.{key}" if name else str(key), tensors, texts)
    elif isinstance(content, (str, int, float)) and name:
        texts[name] = str(content)
