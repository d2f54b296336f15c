"""The table of layouts, each as a value that writes itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.data.sources.conftest import make_table, png, write_files

__all__ = ["DAMAGED", "WHOLE", "Layout"]

_TABLE = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
_DEEP = "[" * 100_000


@dataclass(frozen=True)
class Layout:
    """Files, and what is found there; what the attributes mean stands in layouts.yaml."""

    files: Mapping[str, Any] = field(default_factory=dict)
    of: str = ""
    at: str | Mapping[str, int] = ""
    asked: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    said: str = ""
    pictures: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def write(self, folder: Path) -> str | dict[str, int]:
        """Write it into a folder, and give what is to be scanned."""
        write_files(folder, {name: _content(name, each) for name, each in self.files.items()})
        if isinstance(self.at, str):
            return str(folder / self.at)
        return {str(folder / each): repeats for each, repeats in self.at.items()}


def _content(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return lambda path: _save(path, value)
    if isinstance(value, dict) and name.endswith(".parquet"):
        return lambda path: _write_parquet(path, value)
    if isinstance(value, dict):
        members = {key: _content(key, each) for key, each in value.items()}
        return {key: png(each) if isinstance(each, int) else each for key, each in members.items()}
    if isinstance(value, str) and value.startswith("-> "):
        return Path(value.removeprefix("-> "))
    return value.replace("DEEP", _DEEP) if isinstance(value, str) else value


def _save(path: Path, splits: list[str]) -> None:
    import datasets

    cells = [{"bytes": png(0), "path": "x.png"}, {"bytes": png(1), "path": None}]
    table = make_table(image=cells, text=["one", "two"])
    (datasets.DatasetDict(dict.fromkeys(splits, table)) if splits else table).save_to_disk(path)


def _write_parquet(path: Path, columns: Mapping[str, list[str]]) -> None:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table(columns), path)


def _damaged(row: dict[str, Any]) -> Layout:
    """Put what is damaged over the whole; a file over what was written already."""
    whole = _TABLE["whole"].get(row.get("of"), {})
    kept = {key: whole[key] for key in ("at", "asked") if key in whole}
    return Layout(**{**kept, **row, "files": {**whole.get("files", {}), **row.get("files", {})}})


WHOLE = {name: Layout(**row) for name, row in _TABLE["whole"].items()}
"""Whole ones, by what docs/layouts.md calls them."""

DAMAGED = [_damaged(row) for row in _TABLE["damaged"]]
"""Those of which something is wrong, or another thing than one might think."""
