"""The files that a judge is loaded from, by their content."""

from __future__ import annotations

from hashlib import file_digest, sha256
from importlib.resources import files
from pathlib import Path

__all__ = ["NANO", "digest_of_judge", "nano_judge"]

NANO = "nano"

_SETTINGS = ("*.json", "*.txt")
_WEIGHTS = ("*.safetensors", "*.bin")  # the first that there are, as transformers takes them


def nano_judge() -> Path:
    """Name the folder of the CLIP that nano's pictures are judged with."""
    # a path and not an import: the metrics' room knows nothing of how nano is made
    return Path(str(files("sdtune"))) / "nano" / "evaluation_clip"


def digest_of_judge(source: str | Path) -> str | None:
    """Hash all that a network, its tokenizer and its image processor are loaded from.

    Args:
        source: As `load_clip` takes it; what is on the hub is looked for in the local cache.

    Returns:
        SHA-256 in hexadecimal; None if there are no such files here.
    """
    folder = nano_judge() if source == NANO else Path(source)
    if not folder.is_dir():
        cached = _cached(str(source))
        if cached is None:
            return None
        folder = cached
    weights = next((found for each in _WEIGHTS if (found := sorted(folder.glob(each)))), [])
    settings = [path for each in _SETTINGS for path in sorted(folder.glob(each))]
    if not weights or not settings:
        return None
    total = sha256()
    for path in (*settings, *weights):
        total.update(f"{path.name} {path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            total.update(file_digest(file, "sha256").digest())
    return total.hexdigest()


def _cached(source: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(source, "config.json")
    except HFValidationError:
        found = None
    return Path(found).parent if isinstance(found, str) else None
