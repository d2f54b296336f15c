"""What a technique leaves behind: adapters that were trained together, saved and proved as one."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from sdtune.adapters import registry
from sdtune.adapters.adapter import Adapter
from sdtune.adapters.verification import frozen_copy
from sdtune.files import tensor_file
from sdtune.models.stable_diffusion import StableDiffusion

__all__ = ["AdapterSet", "export_saved", "files_beside"]

log = logging.getLogger(__name__)

_BESIDE_KEY = "sdtune.embedding_file"
"""Names, in the last file's header, those beside it that are loaded first, with spaces between."""


class AdapterSet:
    """Adapters that were trained together, such as a LoRA alone, or words and a LoRA around them.

    Args:
        *adapters: One or more, apart from the model they were trained in. Those that others are
            trained around, which is words, are put first.

    Raises:
        ValueError: If there is none, or one is of a kind that has no format.
    """

    def __init__(self, *adapters: Adapter) -> None:
        homeless = [each.kind for each in adapters if not registry.formats_of(type(each))]
        if homeless or not adapters:
            found = f"{homeless[0]}, which has none" if homeless else "none"
            raise ValueError(f"Expected adapters of kinds that have a format, but got {found}.")
        self.adapters = tuple(sorted(adapters, key=lambda each: not each.loads_first))

    def save(self, folder: str | Path, metadata: Mapping[str, str] | None = None) -> Path:
        """Write each adapter to a file of its own, as diffusers reads it.

        The last has the name that its format has by default, and its header names the others, so
        that `load_pipeline` loads all when it is given that file, or the folder.

        Args:
            folder: Where the files go.
            metadata: Strings for the files' headers.

        Returns:
            The path of the last file.

        Raises:
            FileExistsError: If a file of such a name is there which sdtune did not write.
            TypeError: If a value in `metadata` is no string.
            ValueError: If `metadata` uses a key that a file needs.
        """
        header = dict(metadata or {})
        names = self._file_names()
        for adapter, name in zip(self.adapters, names, strict=True):
            if name is names[-1] and len(names) > 1:
                header[_BESIDE_KEY] = " ".join(names[:-1])
            registry.formats_of(type(adapter))[0].write(adapter, Path(folder, name), header)
        return Path(folder, names[-1])

    def verify(self, path: str | Path, model: StableDiffusion) -> None:
        """Prove that the saved files do what the model does.

        Args:
            path: What `save` returned, with the other files beside it.
            model: The model that the adapters were taken from; it is left as it was.

        Raises:
            AdapterVerificationError: If anything differs.
            FileNotFoundError: If a file is missing.
        """
        names = [*self._file_names()[:-1], Path(path).name]
        for adapter, name in zip(self.adapters, names, strict=True):
            form = registry.formats_of(type(adapter))[0]
            form.verify(adapter, Path(path).with_name(name), model)

    def export(
        self,
        folder: str | Path,
        model: StableDiffusion,
        metadata: Mapping[str, str] | None = None,
    ) -> list[Path]:
        """Write the adapters in all other formats of their kinds, each proved by loading it back.

        Args:
            folder: Where the files go.
            model: The model that the adapters were taken from; it is left as it was.
            metadata: Strings for the files' headers.

        Returns:
            What was written. A format that cannot hold all of an adapter is left out.

        Raises:
            AdapterVerificationError: If one of them, loaded back, predicts anything else.
            FileExistsError: If a file of such a name is there which sdtune did not write.
        """
        written = []
        for adapter in self.adapters:
            for form in registry.formats_of(type(adapter))[1:]:
                if not form.holds(adapter):
                    log.info(
                        "This %s is not written as %s, which loses some.", adapter.kind, form.name
                    )
                    continue
                path = Path(folder, form.file_name)
                form.write(adapter, path, metadata or {})
                form.verify(adapter, path, model)
                written.append(path)
        return written

    def _file_names(self) -> list[str]:
        """Name the files: those of one format are numbered if there are several."""
        defaults = [registry.formats_of(type(each))[0].file_name for each in self.adapters]
        names = []
        for number, default in enumerate(defaults[:-1], start=1):
            stem, _, suffix = default.rpartition(".")
            names.append(default if defaults.count(default) == 1 else f"{stem}_{number}.{suffix}")
        return [*names, defaults[-1]]


def files_beside(path: Path) -> list[Path]:
    """Find the files that are loaded before another, as its header names them.

    Args:
        path: An adapter.

    Returns:
        Files in the same folder; empty if the header names none.

    Raises:
        FileNotFoundError: If one is missing.
    """
    names = tensor_file.read_header(path).metadata.get(_BESIDE_KEY, "").split()
    beside = [path.with_name(Path(name).name) for name in names]  # in no other folder
    missing = [each.name for each in beside if not each.is_file()]
    if missing:
        raise FileNotFoundError(
            f"Expected {' and '.join(missing)} beside {path}, which was trained with the words in "
            "it, but that is missing: copy all files."
        )
    return beside


def export_saved(folder: str | Path, model: StableDiffusion) -> list[Path]:
    """Write what `AdapterSet.export` writes beside adapters that were saved before.

    Args:
        folder: Where they were saved.
        model: A bundle of the same base, with whatever adapters; it is left as it was.

    Returns:
        What was written; nothing for kinds of one format.

    Raises:
        AdapterVerificationError: If one of them, loaded back, predicts anything else.
    """
    written: list[Path] = []
    for path in registry.find_in_folder(Path(folder)):
        form = registry.recognise(path)
        if len(registry.formats_of(form.adapter_type)) == 1:
            continue
        saved = frozen_copy(model)
        form.adapter_type.remove(saved)
        form.load(saved, path)
        adapter = form.adapter_type.from_model(saved)
        of_the_file = {*tensor_file.RESERVED, *form.own_keys, _BESIDE_KEY}
        header = form.metadata(path)
        metadata = {key: each for key, each in header.items() if key not in of_the_file}
        written += AdapterSet(adapter).export(path.parent, saved, metadata)
    return written
