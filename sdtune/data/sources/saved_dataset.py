"""What `datasets.save_to_disk` wrote."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdtune._checks import shortened
from sdtune.data.sources.dataset_rows import list_tables, needs_datasets, read_problem
from sdtune.data.sources.source import Asked, Listing, Sign
from sdtune.files.confined_path import is_confined
from sdtune.files.text_file import parse_json_text, read_text

__all__ = ["SavedDatasetSource"]

_SPLITS = "dataset_dict.json"
_STATE = "state.json"


class SavedDatasetSource:
    """A folder of Arrow files with `state.json`, or one of such folders with `dataset_dict.json`.

    Pictures are written into the cache once.
    """

    name = "saved_dataset"
    title = "a data set saved by `datasets`"

    def recognise(self, location: str) -> Sign | None:
        """See whether the library's files are there."""
        folder = Path(location)
        if (folder / _SPLITS).is_file():
            return Sign(_SPLITS, 2)
        if (folder / _STATE).is_file() and (folder / "dataset_info.json").is_file():
            return Sign(f"{_STATE} and dataset_info.json", 2)
        return None

    def list(self, location: str, asked: Asked) -> Listing:
        """List the rows."""
        folder = Path(location)
        problems = needs_datasets(location, "a saved data set")
        if problems:
            return Listing(folder, problems=problems)
        import datasets

        try:
            _check_paths(folder)
            found = datasets.load_from_disk(str(folder))
        except Exception as error:  # as many kinds as there are readers below it
            return Listing(folder, problems=[read_problem(location, error)])
        tables: Mapping[str, Any] = found if isinstance(found, Mapping) else {"train": found}
        return list_tables(location, tables, asked)


def _check_paths(folder: Path) -> None:
    """Refuse a state whose files lie elsewhere."""
    for state in sorted([*folder.glob(_STATE), *folder.glob(f"*/{_STATE}")]):
        for each in _listed_in(state, folder, "_data_files"):
            if not isinstance(each, dict) or not is_confined(str(each.get("filename"))):
                raise ValueError(f"{state} names a file outside of its folder")
    splits = folder / _SPLITS
    if splits.is_file():
        for each in _listed_in(splits, folder, "splits"):
            if not is_confined(str(each)):
                raise ValueError(f"{splits} names a folder outside of its own")


def _listed_in(path: Path, folder: Path, key: str) -> list[Any]:
    """Read the list under a key of one of the library's JSON files."""
    try:
        content = parse_json_text(read_text(path, folder))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON in UTF-8: {error}") from error
    found = content.get(key) if isinstance(content, dict) else None
    if not isinstance(found, list):
        raise ValueError(f"expected `{key}` of {path} to be a list, but got {shortened(found)}")
    return found
