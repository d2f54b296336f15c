import io
import tarfile
from collections.abc import Callable, Mapping
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


def write_files(folder: Path, files: Mapping[str, Any]) -> Path:
    """Write files below a folder.

    Args:
        folder: It is made.
        files: Path -> what it holds: a text or bytes as they are, a picture for a number, a tar
            file for texts and bytes by member, a link for a path; or what writes it.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, int | bytes):
            path.write_bytes(png(content) if isinstance(content, int) else content)
        elif isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        elif isinstance(content, dict):
            write_shard(path, content)
        elif isinstance(content, Path):
            path.symlink_to(content)
        else:
            content(path)
    return folder


def write_shard(path: Path, members: Mapping[str, bytes | str]) -> Path:
    """Write a tar file: bytes or texts, by member."""
    with tarfile.open(path, "w") as archive:
        for member, content in members.items():
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(member)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write files below a folder, see `write_files`."""
    return lambda files, name="here": write_files(tmp_path / name, files)


@pytest.fixture
def shard(tmp_path: Path) -> Callable[..., Path]:
    """Write a tar file, see `write_shard`."""

    def shard(members: dict[str, bytes | str], name: str = "shard.tar") -> Path:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        return write_shard(tmp_path / name, members)

    return shard
