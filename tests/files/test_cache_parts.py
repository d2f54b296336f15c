from __future__ import annotations

from pathlib import Path

import pytest

from sdtune.files.atomic_file import is_temporary
from sdtune.files.cache_parts import PARTS

_DIGEST = "0f" * 32
_TABLE = f"imagefolder/default-306fe0e544bbd592/0.0.0/{_DIGEST}"


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("features", f"{'0f' * 16}.safetensors"),
        ("manifests", f"{_DIGEST}.jsonl"),
        ("manifests", f"{_DIGEST}.scan.json"),
        ("manifests", f"{_DIGEST}.shards.jsonl"),
        ("captions", f"{_DIGEST}.json"),
        ("pictures", f"{_DIGEST}.png"),
        ("imagefolder", f"{_TABLE}/imagefolder-train.arrow"),
        ("imagefolder", f"{_TABLE}_builder.lock"),
        ("imagefolder", f"_tmp_c_imagefolder_imagefolder_default-306fe0_0.0.0_{_DIGEST}.lock"),
        ("class_pictures", f"{_DIGEST}/000012.png"),
        ("mixed_pictures", f"{_DIGEST}/000012.png"),
        ("base_pictures", f"{_DIGEST}.safetensors"),
        ("scores", f"{_DIGEST}.safetensors"),
        ("random_bases", "sd21_base_2/unet/config.json"),
        ("random_bases", ".tiny_2.5bce98f7-8840-7c1de665-12b3156fd729.tmp/unet/config.json"),
        ("problems", "0f0f0f0f0f0f.txt"),
        ("latents", f"0f/{_DIGEST}.safetensors"),
    ],
)
def test_what_sdtune_writes_is_cleared_with_its_folders(
    part: str, name: str, tmp_path: Path
) -> None:
    folder = tmp_path / part
    if ".tmp/" in name:
        assert is_temporary(name.partition("/")[0])
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_bytes(b"own")
    assert PARTS[part].clear(folder) == (3, [])
    assert not folder.exists()


@pytest.mark.parametrize("part", PARTS)
def test_what_somebody_else_put_there_stays(part: str, tmp_path: Path) -> None:
    folder = tmp_path / part
    names = ("1.png", "a/photo.jpg", "mine.txt", "train.jsonl", "unet.safetensors")
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"mine")
    (folder / "empty").mkdir()
    assert PARTS[part].clear(folder) == (0, [folder / name for name in names])
    assert not (folder / "empty").exists()
    assert PARTS[part].clear(tmp_path / "nowhere") == (0, [])
