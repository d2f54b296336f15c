"""Bases that were loaded once, kept in memory: most tests load the same few, again and again."""

from __future__ import annotations

import io
import os
import pickle
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import MethodType
from typing import Any

import pytest
import torch
from torch import nn

from sdtune.models import StableDiffusion, loading
from sdtune.models.recorded_passes import RecordedPasses

__all__ = ["LoadedBases"]

Key = tuple[Any, ...]


class LoadedBases:
    """Does what `_load_model` does, and gives copies of what it gave before.

    A folder is known by its path and by the sizes and times of all its files. Copies share
    nothing with each other. Single files and bases of the hub are loaded every time.

    Args:
        load: What loads a base.
        most: How many bases are kept.

    Attributes:
        load: What loads a base.
    """

    def __init__(self, load: Callable[..., StableDiffusion], most: int = 12) -> None:
        self.load = load
        self._most = most
        self._times: Counter[Key] = Counter()
        self._kept: dict[Key, _Copies] = {}

    def __call__(self, found: Any, *how: Any) -> StableDiffusion:
        """Return a model, as `_load_model` does.

        Args:
            found: The base, a `Repository` or a `SingleFile`.
            how: Its further arguments.

        Returns:
            A model of its own.
        """
        key = _key_of(found, how)
        if key in self._kept:
            model: StableDiffusion = self._kept[key].make()
            model.family = found.family
            model.passes = RecordedPasses()
            # unpickled, CLIP's decodes in another way: its `decode` is patched where it is made
            names = found.family.tokenizer_names
            model.tokenizers = [loading._load_tokenizer(found, name) for name in names]
            return model
        model = self.load(found, *how)
        self._times[key] += 1
        # the folders of one test are loaded once or twice, and not worth keeping
        if key and self._times[key] == 2 and len(self._kept) < self._most:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(model, "family", None)
                patch.setattr(model, "tokenizers", [])
                patch.setattr(model, "passes", None)
                self._kept[key] = _Copies(model)
        return model


class _Copies:
    """Makes copies of an object that holds tensors: several times as fast as `deepcopy`."""

    def __init__(self, thing: Any) -> None:
        file = io.BytesIO()
        pickler = _Pickler(file)
        pickler.dump(thing)
        self._pickled = file.getvalue()
        self._tensors = pickler.tensors

    def make(self) -> Any:
        return _Unpickler(io.BytesIO(self._pickled), self._tensors).load()


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self.tensors: list[torch.Tensor] = []
        self._indices: dict[int, int] = {}

    def persistent_id(self, thing: Any) -> int | None:
        if not isinstance(thing, torch.Tensor):
            return None
        if id(thing) not in self._indices:
            self._indices[id(thing)] = len(self.tensors)
            self.tensors.append(_copy(thing))
        return self._indices[id(thing)]

    def reducer_override(self, thing: Any) -> Any:
        # pickled by its name, a method that a module was given would be looked for in its class
        if isinstance(thing, MethodType):
            return _method, (thing.__func__, thing.__self__)
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, tensors: list[torch.Tensor]) -> None:
        super().__init__(file)
        self._tensors = tensors
        self._made: dict[int, torch.Tensor] = {}

    def persistent_load(self, index: int) -> torch.Tensor:
        if index not in self._made:
            self._made[index] = _copy(self._tensors[index])
        return self._made[index]


def _method(function: Callable[..., Any], owner: object) -> MethodType:
    return MethodType(function, owner)


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    copied = tensor.detach().clone()
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(copied, requires_grad=tensor.requires_grad)
    return copied.requires_grad_(tensor.requires_grad)


def _key_of(found: Any, how: tuple[Any, ...]) -> Key:
    folder = Path(getattr(found, "location", ""))
    if not folder.is_absolute() or not folder.is_dir():
        return ()
    files = []
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            told = os.stat(path)
            files.append((path, told.st_ino, told.st_size, told.st_mtime_ns, told.st_ctime_ns))
    options = (found.variant, repr(sorted(found.options.items())), type(found.family).__qualname__)
    return (str(folder), *how, options, *sorted(files))
