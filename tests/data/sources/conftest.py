import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image


def png(number: int, size: tuple[int, int] = (16, 16)) -> bytes:
    """A picture that no other number has."""
    file = io.BytesIO()
    Image.new("RGB", size, (number * 20, 0, 0)).save(file, "PNG")
    return file.getvalue()


def make_table(**columns: list[Any]) -> Any:
    """A `datasets.Dataset`; `image` holds cells with `bytes` and `path`."""
    import pyarrow

    import datasets

    features = {name: datasets.Image() if name == "image" else None for name in columns}
    table = pyarrow.table(columns)
    found = datasets.Features.from_arrow_schema(table.schema)
    found.update({name: feature for name, feature in features.items() if feature})
    info = datasets.DatasetInfo(features=found)
    return datasets.Dataset(
        datasets.table.InMemoryTable(table).cast(found.arrow_schema), info, fingerprint="made"
    )


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write files below a folder: texts as they are, and a picture for a number."""

    def write(files: dict[str, str | int], name: str = "here") -> Path:
        for path, content in files.items():
            where = tmp_path / name / path
            where.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, int):
                where.write_bytes(png(content))
            else:
                where.write_text(content, encoding="utf-8")
        return tmp_path / name

    return write


@pytest.fixture
def shard(tmp_path: Path) -> Callable[..., Path]:
    """Write a tar file: bytes or texts, by member."""

    def shard(members: dict[str, bytes | str], name: str = "shard.tar") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w") as archive:
            for member, content in members.items():
                data = content.encode() if isinstance(content, str) else content
                info = tarfile.TarInfo(member)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        return path

    return shard
