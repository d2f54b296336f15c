"""What the cache keeps, by folder, and how its files are called: nothing else is sdtune's there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sdtune.files.atomic_file import is_temporary
from sdtune.files.folder_tree import remove_empty_folders

__all__ = ["PARTS", "CachePart"]

_DIGEST = "[0-9a-f]{64}"
# what `datasets` makes of a folder, and its locks, which are named by the whole path
_OF_DATASETS = r"imagefolder/default-[0-9a-f]+(-[^/]+)?/.+|_.+_imagefolder_default-.+\.lock"


@dataclass(frozen=True)
class CachePart:
    """A part of the cache, which is a folder.

    Attributes:
        meaning: What it holds, for people.
        names: What the paths of its files are like, below the folder.
        is_cleared: Whether it is computed again within minutes.
    """

    meaning: str
    names: str
    is_cleared: bool = False

    def files(self, folder: Path) -> Iterator[Path]:
        """List the files that sdtune has written into the folder, killed processes' ones included.

        Args:
            folder: The part's folder; it need not exist.
        """
        for path in folder.rglob("*"):
            name = path.relative_to(folder)
            is_own = re.fullmatch(self.names, name.as_posix()) is not None
            # a folder that was not finished has a temporary name, and so has all that is in it
            is_own = is_own or any(map(is_temporary, name.parts))
            if is_own and (path.is_file() or path.is_symlink()):
                yield path

    def clear(self, folder: Path) -> tuple[int, list[Path]]:
        """Delete what sdtune has written into the folder, and each folder that is empty then.

        Args:
            folder: The part's folder; it need not exist.

        Returns:
            Bytes that were deleted, and the files that are left because they are not sdtune's.

        Raises:
            OSError: If one cannot be deleted.
        """
        freed = 0
        for path in [*self.files(folder)]:
            with suppress(FileNotFoundError):  # another process was quicker
                freed += path.lstat().st_size
                path.unlink()
        remove_empty_folders(folder)
        return freed, sorted(each for each in folder.rglob("*") if not each.is_dir())


PARTS = {
    "features": CachePart(
        "latents of pictures and encoded prompts", r"[0-9a-f]{32}\.safetensors", is_cleared=True
    ),
    "manifests": CachePart(
        "what pictures are: sizes, hashes, captions",
        rf"{_DIGEST}(\.scan\.json|(\.shards)?\.jsonl)",
        is_cleared=True,
    ),
    "captions": CachePart("what captioners said of pictures", rf"{_DIGEST}\.json"),
    "pictures": CachePart("pictures out of tables and archives", rf"{_DIGEST}\.\w+"),
    "imagefolder": CachePart("what `datasets` made of folders", _OF_DATASETS),
    "class_pictures": CachePart("pictures of classes that bases drew", rf"{_DIGEST}/\d{{6,}}\.png"),
    "mixed_pictures": CachePart("pictures of two subjects", rf"{_DIGEST}/\d{{6,}}\.png"),
    "base_pictures": CachePart(
        "pictures that bases drew to be compared with", rf"{_DIGEST}\.safetensors"
    ),
    "scores": CachePart(
        "what judges have seen of pictures that do not change",
        rf"{_DIGEST}\.safetensors",
        is_cleared=True,
    ),
    "random_bases": CachePart(
        "what `sdtune bench` trains where a base is not there", r"(sd|small|tiny)[a-z0-9_]*_\d+/.+"
    ),
    "problems": CachePart(
        "lists of what is wrong with data", r"[0-9a-f]{12}\.txt", is_cleared=True
    ),
    "latents": CachePart(
        "latents of earlier versions, which are read no more",
        r"[0-9a-f]{2}/[0-9a-f]{32,64}\.(safetensors|tmp)",
        is_cleared=True,
    ),
}
"""Name of the folder -> what it holds."""
