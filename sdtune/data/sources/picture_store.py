"""Pictures that came out of tables and archives, as files under the hash of what they hold."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sdtune.data.decoding import IMAGE_SUFFIXES
from sdtune.files.atomic_file import replaced_atomically
from sdtune.files.cache_folder import default_cache_dir

__all__ = ["PictureStore"]

_BEGINNINGS = {
    b"\x89PNG": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"GIF8": ".gif",
    b"BM": ".bmp",
    b"II*\x00": ".tiff",
    b"MM\x00*": ".tiff",
    b"RIFF": ".webp",
}


class PictureStore:
    """A folder of pictures, each written once, whatever it is called where it came from.

    Args:
        cache_dir: The cache that it is in; None is `$SDTUNE_CACHE` or `~/.cache/sdtune`.

    Attributes:
        folder: Where the pictures are: `<sha256>.<suffix>`.
    """

    def __init__(self, cache_dir: str | Path | None = None) -> None:
        root = Path(cache_dir).expanduser() if cache_dir else default_cache_dir()
        self.folder = root / "pictures"

    def put(self, data: bytes, name: str = "") -> Path:
        """Write a picture that is not there yet.

        Args:
            data: The bytes of its file.
            name: Its name, if it has one; only the suffix counts.

        Returns:
            Its file.

        Raises:
            OSError: If it cannot be written.
        """
        path = self.folder / (hashlib.sha256(data).hexdigest() + _suffix(data, name))
        # a size that differs: a disk was full, or a machine stopped
        if not (path.is_file() and path.stat().st_size == len(data)):
            with replaced_atomically(path, synced=False) as temporary:
                temporary.write_bytes(data)
        return path


def _suffix(data: bytes, name: str) -> str:
    suffix = Path(name).suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return suffix
    return next((s for begins, s in _BEGINNINGS.items() if data.startswith(begins)), ".png")
