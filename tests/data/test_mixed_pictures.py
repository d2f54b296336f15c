from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdtune.data.mixed_pictures import MixedPictures, Mixture, side_by_side

_PROMPTS = ("a <cat> next to a <dog>", "a <dog> next to a <cat>")


@pytest.fixture
def folders(make_folder) -> tuple[Path, Path]:
    return make_folder(3, name="cats"), make_folder(2, size=(16, 40), name="dogs")


@pytest.fixture
def make(folders, tmp_path):
    cats, dogs = (sorted(folder.glob("*.png")) for folder in folders)

    def make(
        resolution: int = 16,
        count: int = 6,
        seed: int = 42,
        prompts: tuple[str, str] = _PROMPTS,
        folder: str = "mixed",
    ) -> MixedPictures:
        mixtures = [Mixture(prompts[0], cats, dogs), Mixture(prompts[1], dogs, cats)]
        return MixedPictures(tmp_path / folder, mixtures, resolution, count, seed)

    return make


def _tiles(folder: Path, side: int) -> list[np.ndarray]:
    tiles = []
    for path in sorted(folder.glob("*.png")):
        image = Image.open(path)
        short = min(image.size)
        left, top = (image.width - short) / 2, (image.height - short) / 2
        box = (left, top, left + short, top + short)
        tiles.append(np.array(image.resize((side, side), Image.Resampling.LANCZOS, box=box)))
    return tiles


def _found_in(half: np.ndarray, tiles: list[np.ndarray]) -> list[tuple[int, int]]:
    """List which tiles lie whole in a half (2s, s, 3), and at which row."""
    side = half.shape[1]
    return [
        (number, top)
        for number, tile in enumerate(tiles)
        for top in range(side + 1)
        if np.array_equal(half[top : top + side], tile)
    ]


def test_tiles_are_whole_and_their_edges_go_on() -> None:
    left, right = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)
    mixed = side_by_side(left, right, (0.0, 0.5))
    assert mixed.shape == (8, 8, 3)
    assert np.array_equal(mixed[:4, :4], left)
    assert np.array_equal(mixed[4:, :4], left[[3] * 4])
    assert np.array_equal(mixed[2:6, 4:], right)
    assert np.array_equal(mixed[:2, 4:], right[[0] * 2])
    assert np.array_equal(mixed[6:, 4:], right[[3] * 2])


def test_every_position_is_within_the_square() -> None:
    left, right = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)
    tops = [
        _found_in(side_by_side(left, right, (place, place))[:, :4], [left])[0][1]
        for place in (0.0, 0.19, 0.2, 0.5, 0.99, 1.0)
    ]
    assert tops == [0, 0, 1, 2, 4, 4]


def test_the_first_named_stands_left(make, folders) -> None:
    mixed = make(count=24)
    mixed.make()
    cats, dogs = (_tiles(folder, 8) for folder in folders)
    seen = set()
    for number, path in enumerate(mixed.paths):
        pixels = np.array(Image.open(path))
        assert pixels.shape == (16, 16, 3)
        left, right = (cats, dogs) if number % 2 == 0 else (dogs, cats)
        [first] = _found_in(pixels[:, :8], left)
        [second] = _found_in(pixels[:, 8:], right)
        seen.add((number % 2, first, second))
    for side, tiles in ((1, cats), (2, dogs)):
        assert {each[side][0] for each in seen if each[0] == 0} == set(range(len(tiles)))
    assert len({each[1][1] for each in seen}) > 3  # heights differ


@pytest.mark.slow
def test_they_are_the_same_in_any_process_and_of_any_seed_its_own(make, tmp_path) -> None:
    def content(mixed: MixedPictures) -> list[bytes]:
        mixed.make()
        return [path.read_bytes() for path in mixed.paths]

    first = content(make())
    assert content(make(folder="again")) == first
    assert content(make(count=8))[:6] == first
    assert content(make(seed=1)) != first
    code = f"""
from pathlib import Path
from sdtune.data.mixed_pictures import MixedPictures, Mixture
folder = Path({str(tmp_path)!r})
cats, dogs = (sorted((folder / name).glob("*.png")) for name in ("cats", "dogs"))
mixtures = [Mixture({_PROMPTS[0]!r}, cats, dogs), Mixture({_PROMPTS[1]!r}, dogs, cats)]
MixedPictures(folder / "other", mixtures, 16, 6, 42).make()
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    other = make(folder="other")
    assert other.missing() == []
    assert content(other) == first


def test_a_whole_file_is_kept_and_a_broken_one_written_again(make) -> None:
    first = make()
    first.make()
    content = [path.read_bytes() for path in first.paths]
    times = [path.stat().st_mtime_ns for path in first.paths]
    first.paths[2].write_bytes(b"")
    first.paths[3].write_bytes(content[3][:40])
    second = make()
    assert second.missing() == [2, 3]
    second.make()
    assert [path.read_bytes() for path in second.paths] == content
    kept = [path.stat().st_mtime_ns == old for path, old in zip(first.paths, times, strict=True)]
    assert kept == [True, True, False, False, True, True]
    assert not list(first.folder.glob("*.tmp"))


def test_whatever_they_follow_from_names_the_folder(make, folders) -> None:
    first = make()
    changed = [make(resolution=32), make(seed=1), make(prompts=("a <cat> by a <dog>", _PROMPTS[1]))]
    (folders[0] / "00.png").write_bytes((folders[0] / "01.png").read_bytes())
    names = {each.folder for each in [first, *changed, make()]}
    assert len(names) == 5
