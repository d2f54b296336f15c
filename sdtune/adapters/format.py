"""What every file format of an adapter offers; see `registry` for which there are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from sdtune.adapters.adapter import Adapter
from sdtune.adapters.usage import Program, Use
from sdtune.adapters.verification import (
    SharedCopy,
    check_same_output,
    evaluating,
    prediction,
)
from sdtune.files import tensor_file
from sdtune.files.tensor_file import TensorHeader
from sdtune.functional.randomness import isolated_random_state
from sdtune.models.stable_diffusion import StableDiffusion

__all__ = ["AdapterFormat", "AdapterT"]

AdapterT = TypeVar("AdapterT", bound=Adapter)


class AdapterFormat(ABC, Generic[AdapterT]):
    """A layout of files that holds adapters of one kind.

    A path is that of a file, or of a folder if the format is several files.

    Attributes:
        adapter_type: The kind that it holds.
        name: What it is called, such as `kohya`; no other format of the kind has this name.
        file_name: Name of the file in an adapter's folder.
        made_for: Programs that shall be given this file rather than another of the same adapter.
        own_keys: Keys of the header that this format fills by itself.
    """

    adapter_type: type[AdapterT]
    name: ClassVar[str]
    file_name: ClassVar[str]
    made_for: ClassVar[tuple[Program, ...]] = ("diffusers",)
    own_keys: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def recognises(self, path: Path, header: TensorHeader) -> bool:
        """Tell whether a path is of this format, without reading tensors.

        Args:
            path: An existing file or folder.
            header: Its names, shapes and strings; empty for all but safetensors files.

        Returns:
            Whether `load` is the one to read it, or to say what is wrong with it.
        """

    @abstractmethod
    def load(self, model: StableDiffusion, path: Path) -> None:
        """Put an adapter into a model, in place and frozen.

        Args:
            model: A bundle without an adapter of this kind.
            path: What is of this format.

        Raises:
            ValueError: If it is for another kind of base, or not all of it can be read.
        """

    @abstractmethod
    def write(self, adapter: AdapterT, path: Path, metadata: Mapping[str, str]) -> None:
        """Write an adapter, whole or not at all.

        Args:
            adapter: One that this format `holds`.
            path: Where; folders are made where they are missing.
            metadata: Strings for the header.

        Raises:
            FileExistsError: If a file of that name is there which sdtune did not write.
            TypeError: If a value in `metadata` is no string.
            ValueError: If `metadata` uses a key that the file needs.
        """

    def holds(self, adapter: AdapterT) -> bool:
        """Tell whether an adapter can be written without losing anything."""
        return True

    def path_in(self, folder: Path, metadata: Mapping[str, str]) -> Path:
        """Say where an adapter is written in a folder.

        Args:
            folder: The folder.
            metadata: What `write` is given.

        Returns:
            The path.
        """
        return folder / self.file_name

    def find(self, folder: Path) -> Path | None:
        """Find an adapter of this format in a folder, under the name that it has by default."""
        path = folder / self.file_name
        return path if path.is_file() else None

    def metadata(self, path: Path) -> Mapping[str, str]:
        """Read the strings of the header; empty if there are none."""
        return tensor_file.read_header(path).metadata

    def words(self, path: Path) -> list[Any]:
        """Read the learned words that a file holds, without a model.

        Args:
            path: What is of this format.

        Returns:
            A `TokenEmbeddingAdapter` for each; none by default.
        """
        return []

    def written_files(self, path: Path) -> list[Path]:
        """List the files of an adapter, configurations too, if sdtune wrote it."""
        return [path] if tensor_file.is_ours(path) else []

    def use(self, program: Program, path: Path, name: str) -> Use:
        """Say how an adapter is used in another program.

        Args:
            program: The program.
            path: What is of this format.
            name: What the file may be called there, such as `style_lora`.

        Returns:
            What to do.
        """
        return Use(note=f"{program} does not read {self.adapter_type.kind} in this layout.")

    @torch.no_grad()
    def verify(
        self,
        adapter: AdapterT,
        path: Path,
        model: StableDiffusion,
        predicted: Tensor | None = None,
        shared: SharedCopy | None = None,
    ) -> float:
        """Load a file back beside frozen weights and compare with the model it came from.

        The model, its modes and the random state are left as they were.

        Args:
            adapter: What was written.
            path: Where it was written.
            model: The bundle that it was taken from.
            predicted: What `prediction` gives for it, where that is known.
            shared: Gives copies of the model, where several files are loaded.

        Returns:
            The relative difference of the outputs, which is more than rounding if the file is in
            half precision.

        Raises:
            AdapterVerificationError: If anything differs.
            FileNotFoundError: If there is no such file.
        """
        with isolated_random_state(), evaluating(model):
            fresh = (shared or SharedCopy(model)).without(adapter.remove)
            self.read_back(fresh, path)
            self.compare(adapter, path, model, fresh)
            expected = prediction(model) if predicted is None else predicted
            found = prediction(fresh)
        return check_same_output(path, "UNet", expected, found, model.dtype, adapter.dtype)

    def read_back(self, model: StableDiffusion, path: Path) -> None:
        """Load as those do whom the file is for; where that is not `load`, to prove it to them."""
        self.load(model, path)

    def compare(
        self, adapter: AdapterT, path: Path, model: StableDiffusion, loaded: StableDiffusion
    ) -> None:
        """Compare tensors, which must be equal where outputs need only be nearly so.

        Args:
            adapter: What was written.
            path: Where the adapter was written.
            model: The model in which it was trained.
            loaded: Another one that was given to `read_back`.

        Raises:
            AdapterVerificationError: If one differs.
        """
        return
