"""Adapters from one file format into another, with whole folders of checkpoints."""

from __future__ import annotations

from pathlib import Path

from sdtune.adapters import registry
from sdtune.adapters.pipeline import find_adapter_files
from sdtune.adapters.verification import frozen_copy
from sdtune.adapters.writing import carried_metadata, check_format, load_files, write_adapters
from sdtune.models.loading import load

__all__ = ["convert_adapters", "find_adapters"]


def find_adapters(path: Path) -> dict[Path, list[Path]]:
    """Find an adapter, and in a folder those of earlier steps below it.

    Args:
        path: As in `find_adapter_files`.

    Returns:
        Folder below `path`, `.` for itself -> the files that are loaded together.

    Raises:
        FileNotFoundError: If there is none.
    """
    if path.is_file():
        return {Path(): find_adapter_files(path)}
    root = path if registry.find_in_folder(path) else path / "adapter"
    found: dict[Path, list[Path]] = {}
    inside: set[Path] = set()  # folders that are an adapter
    for folder in (root, *sorted(each for each in root.rglob("*") if each.is_dir())):
        if any(folder.is_relative_to(each) for each in inside):
            continue
        if registry.find_in_folder(folder):
            found[folder.relative_to(root)] = find_adapter_files(folder)
        places = (form.find(folder) for form in registry.formats())
        inside |= {place for place in places if place is not None and place.is_dir()}
    return found or {Path(): find_adapter_files(path)}


def convert_adapters(
    source: str | Path, to: str, output: str | Path, base: str | Path
) -> dict[Path, Path]:
    """Write an adapter, or all of a folder, in another format; each is proved by loading it back.

    Args:
        source: As in `find_adapters`.
        to: `diffusers`, `kohya`, `PEFT`, or the name of another registered format.
        output: A folder, which gets the folders of `source`; or, for one adapter of one file, a
            `.safetensors` file.
        base: What the adapters were trained on, as in `load`.

    Returns:
        Folder below `source` -> what was written for it; of several files, the last.

    Raises:
        AdapterVerificationError: If a file, loaded back, predicts anything else.
        FileExistsError: If a file is in the way that sdtune did not write.
        FileNotFoundError: If there is no adapter.
        ValueError: If an adapter is for another kind of base, or the format cannot hold it.
    """
    found, output = find_adapters(Path(source)), Path(output)
    if len(found) > 1 and output.suffix == ".safetensors":
        raise ValueError(
            f"Expected `--output` to be a folder, for {source} holds {len(found)} adapters, but "
            f"got {output}."
        )
    for path in (path for files in found.values() for path in files):
        check_format(registry.recognise(path).adapter_type, to)
    model = load(base)
    written = {}
    for name, files in found.items():
        own = frozen_copy(model)
        adapters, metadata = load_files(own, files), carried_metadata(files[-1])
        written[name] = write_adapters(adapters, own, output / name, metadata, to)
    return written
