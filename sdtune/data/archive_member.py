"""A file within a tar file, read where it lies: nothing is unpacked."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

__all__ = ["ArchiveMember"]

_PATH: Any = type(
    Path()
)  # PosixPath or WindowsPath, which alone can be derived from on Python 3.11


class ArchiveMember(_PATH):  # type: ignore[misc]
    """The path `shard.tar/member.png` of a member that is not packed.

    It is told, compared and sorted as a path, and opened and measured as the file that it names;
    what is derived from it, such as its `parent`, is a path and no more.

    Attributes:
        shard: The tar file; empty for what was derived.
        inside: The member's name.
        offset: Where its bytes begin in the tar file.
        length: How many there are.
    """

    shard: str = ""
    inside: str = ""
    offset: int = 0
    length: int = 0

    @classmethod
    def of(cls, shard: str | Path, inside: str, offset: int, length: int) -> ArchiveMember:
        """Name a member.

        Args:
            shard: The tar file.
            inside: The member's name.
            offset: Where its bytes begin, in bytes.
            length: How many there are.
        """
        member = cls(shard, inside)
        member.shard, member.inside = str(shard), inside
        member.offset, member.length = offset, length
        return member

    def __reduce__(self) -> tuple[Any, ...]:
        """Take along where the bytes are, to other processes."""
        if not self.shard:
            return Path, (str(self),)
        return ArchiveMember.of, (self.shard, self.inside, self.offset, self.length)

    def with_segments(self, *segments: str | os.PathLike[str]) -> Path:
        """Make what is derived a path, on Python 3.12 and newer."""
        return Path(*segments)

    def absolute(self) -> Path:
        """Name it from the root."""
        if not self.shard:
            return Path(str(self)).absolute()
        return ArchiveMember.of(Path(self.shard).absolute(), self.inside, self.offset, self.length)

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Give the status of the tar file, with the member's own length."""
        if not self.shard:
            return Path(str(self)).stat(follow_symlinks=follow_symlinks)
        status = os.stat(self.shard)
        fields = [*status[:6], self.length, *status[7:10]]
        return os.stat_result(fields, {"st_mtime_ns": status.st_mtime_ns})

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        """Tell whether the tar file is there."""
        return os.path.exists(self.shard or str(self))

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Tell whether the tar file is there, of which this is a file."""
        return os.path.isfile(self.shard or str(self))

    def is_symlink(self) -> bool:
        """Tell that it is no link: those are refused when a shard is read."""
        return False

    def read_bytes(self) -> bytes:
        """Read the member.

        Raises:
            OSError: If the tar file cannot be read, or ends before the member does.
        """
        with open(self.shard or str(self), "rb") as file:
            if not self.shard:
                return file.read()
            file.seek(self.offset)
            data = file.read(self.length)
        if len(data) < self.length:
            raise OSError(f"{self.shard} ends too early")
        return data

    def open(self, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        """Open the member to read its bytes; that is all that can be done with it.

        Raises:
            OSError: If another mode is asked for, or see `read_bytes`.
        """
        if not self.shard:
            return open(str(self), mode, *arguments, **options)
        if mode != "rb":
            raise OSError(f"{self} lies in an archive, which is read and not written")
        return io.BytesIO(self.read_bytes())
