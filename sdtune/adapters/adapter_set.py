"""What a technique leaves behind: adapters that were trained together, saved and proved as one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, get_args

import torch

from sdtune.adapters import registry
from sdtune.adapters.adapter import Adapter
from sdtune.adapters.format import AdapterFormat
from sdtune.adapters.usage import Program
from sdtune.adapters.verification import SharedCopy, evaluating, prediction
from sdtune.functional.randomness import isolated_random_state
from sdtune.models.stable_diffusion import StableDiffusion

__all__ = ["BESIDE_KEY", "AdapterSet", "files_beside", "header_for"]

BESIDE_KEY = "sdtune.embedding_file"
"""Names, in the last file's header, those beside it that are loaded first, with spaces between."""

_CONTENT_KEY = "sdtune.content_sha256"


class AdapterSet:
    """Adapters that were trained together, such as a LoRA alone, or words and a LoRA around them.

    Args:
        *adapters: One or more, apart from the model they were trained in. Those that others are
            trained around, which is words, are put first.
        metadata: Strings for the headers of all files, such as a description of the run.

    Raises:
        ValueError: If there is none, or one is of a kind that has no format.
    """

    def __init__(self, *adapters: Adapter, metadata: Mapping[str, str] | None = None) -> None:
        homeless = [each.kind for each in adapters if not registry.formats_of(type(each))]
        if homeless or not adapters:
            found = f"{homeless[0]}, which has none" if homeless else "none"
            raise ValueError(f"Expected adapters of kinds that have a format, but got {found}.")
        self.adapters = tuple(sorted(adapters, key=lambda each: not each.loads_first))
        self.metadata = dict(metadata or {})
        self._only: str | None = None

    def only(self, name: str) -> Self:
        """Choose one format: `save` and `verify` leave out the others.

        Args:
            name: Name of the format, in upper or lower case. Kinds of one format, as learned words
                are, keep that.

        Returns:
            A copy.
        """
        copied = type(self)(*self.adapters, metadata=self.metadata)
        copied._only = name.lower()
        return copied

    def to(self, dtype: torch.dtype) -> Self:
        """Round the adapters, such as to half the size.

        Args:
            dtype: A floating type.

        Returns:
            A copy; kinds that are not rounded stay as they are.
        """
        return type(self)(*(each.to(dtype) for each in self.adapters), metadata=self.metadata)

    def save(self, folder: str | Path, metadata: Mapping[str, str] | None = None) -> Path:
        """Write each adapter in every format that can hold it, as a run does.

        Headers of the last one's files name the others, so that `load_pipeline` loads all when it
        is given one of them, or the folder.

        Args:
            folder: Where the files go.
            metadata: More strings for the files' headers.

        Returns:
            The path of the last adapter, in the format that diffusers reads if it has one.

        Raises:
            FileExistsError: If a file of such a name is there which sdtune did not write.
            TypeError: If a value in `metadata` is no string.
            ValueError: If `metadata` uses a key that a file needs, or a value is not finite.
        """
        header = {**self.metadata, **(metadata or {})}
        places = self._places(Path(folder), header)
        first: dict[int, Path] = {}
        for adapter, _, path in places:
            first.setdefault(id(adapter), path)
        *others, last = first.values()
        beside = {BESIDE_KEY: " ".join(path.name for path in others)} if others else {}
        # once for all formats: what an adapter holds is hashed for it
        headers = {id(each): header_for(each, header) for each in self.adapters}
        headers[id(self.adapters[-1])] |= beside
        for adapter, form, path in places:
            form.write(adapter, path, headers[id(adapter)])
        return last

    def verify(self, path: str | Path, model: StableDiffusion) -> float:
        """Prove that the saved files, all of them, do what the model does.

        Args:
            path: What `save` returned, with the other files beside it.
            model: The model that the adapters were taken from; it is left as it was.

        Returns:
            The largest relative difference of an output, which is more than rounding for files in
            half precision.

        Raises:
            AdapterVerificationError: If anything differs.
            FileNotFoundError: If a file is missing.
        """
        model_prediction, shared = None, SharedCopy(model)
        errors = [0.0]
        for adapter, form, place in self._places(Path(path).parent, self._header_of(Path(path))):
            if model_prediction is None:
                with torch.no_grad(), isolated_random_state(), evaluating(model):
                    model_prediction = prediction(model)
            errors.append(form.verify(adapter, place, model, model_prediction, shared))
        return max(errors)

    def left_out(self) -> list[str]:
        """Say which programs get no file of an adapter, because they could not read it.

        Returns:
            One sentence for each adapter that is not for all.
        """
        lines = []
        for adapter in self.adapters:
            forms = [f for f in registry.formats_of(type(adapter)) if f.holds(adapter)]
            served = {program for form in forms for program in form.made_for}
            missing = [each for each in get_args(Program) if each not in served]
            if missing and served:
                lines.append(
                    f"No file of the {adapter.title} is written for {' and '.join(missing)}: of "
                    f"this kind only {' and '.join(sorted(served))} can read it."
                )
        return lines

    def _places(
        self, folder: Path, header: Mapping[str, str]
    ) -> list[tuple[Adapter, AdapterFormat[Any], Path]]:
        """Say where each adapter goes in each format: those of one format are numbered."""
        kinds = [type(each) for each in self.adapters]
        places: list[tuple[Adapter, AdapterFormat[Any], Path]] = []
        for number, adapter in enumerate(self.adapters, start=1):
            every = registry.formats_of(type(adapter))
            forms = [f for f in every if f.holds(adapter)]
            if self._only is not None and len(every) > 1:
                forms = [f for f in forms if f.name.lower() == self._only]
            if not forms:
                raise ValueError(f"Expected a format that holds all of a {adapter.title}.")
            is_numbered = number < len(kinds) and kinds.count(type(adapter)) > 1
            for form in forms:
                path = form.path_in(folder, header)
                others = [each.file_name for each in registry.formats() if each is not form]
                others += [each.name for *_, each in places]
                if path.name.casefold() in map(str.casefold, others):  # a header may ask for it
                    path = folder / form.file_name
                if is_numbered:
                    path = path.with_name(f"{path.stem}_{number}{path.suffix}")
                places.append((adapter, form, path))
        return places

    def _header_of(self, path: Path) -> Mapping[str, str]:
        """Read what the files were written with, and named by."""
        form = registry.find_format(path)
        return self.metadata if form is None else form.metadata(path)


def header_for(adapter: Adapter, metadata: Mapping[str, str]) -> dict[str, str]:
    """Name an adapter in the strings of its header, in whatever format it is written.

    Args:
        adapter: What is written.
        metadata: The other strings, perhaps of the file that it was made from.

    Returns:
        The strings.
    """
    kept = {key: value for key, value in metadata.items() if key != _CONTENT_KEY}
    content = adapter.content_sha256
    return {**kept, _CONTENT_KEY: content} if content else kept


def files_beside(path: Path) -> list[Path]:
    """Find the files that are loaded before another, as its header names them.

    Args:
        path: An adapter.

    Returns:
        Files in the same folder; empty if the header names none.

    Raises:
        FileNotFoundError: If one is missing.
    """
    form = registry.find_format(path)
    names = (form.metadata(path) if form else {}).get(BESIDE_KEY, "").split()
    beside = [path.with_name(Path(name).name) for name in names]  # in no other folder
    missing = [each.name for each in beside if not each.is_file()]
    if missing:
        raise FileNotFoundError(
            f"Expected {' and '.join(missing)} beside {path}, which was trained with the words in "
            "it, but that is missing: copy all files."
        )
    return beside
