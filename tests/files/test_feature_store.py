from __future__ import annotations

import hashlib
import logging
import multiprocessing
import os
import pickle
import time
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from sdtune.files.atomic_file import temporary_sibling
from sdtune.files.feature_store import FeatureStore


def _key(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def _entry(number: int, side: int = 4) -> dict[str, torch.Tensor]:
    values = torch.full((8, side, side), float(number))
    return {"moments": values, "other": torch.tensor([number], dtype=torch.bfloat16)}


def _fill(folder: Path, numbers: range, **options: int) -> None:
    store = FeatureStore(folder, **options)
    for number in numbers:
        store.put(_key(number), _entry(number))
    store.flush()


def _assert_holds(store: FeatureStore, numbers: range, side: int = 4) -> None:
    for number in numbers:
        found = store.get(_key(number))
        assert found is not None
        for name, value in _entry(number, side).items():
            assert found[name].dtype == value.dtype
            assert torch.equal(found[name], value)


def _shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def test_what_is_put_is_got_bit_for_bit_by_any_store_over_the_folder(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path / "new", shard_bytes=2_000)
    assert store.get(_key(0)) is None
    for number in range(20):
        store.put(_key(number), _entry(number))
        store.put(_key(100 + number), _entry(100 + number, side=2))
    _assert_holds(store, range(20))  # whether written or still waiting
    store.flush()
    assert len(store) == 40
    for again in (store, FeatureStore(tmp_path / "new"), pickle.loads(pickle.dumps(store))):
        _assert_holds(again, range(20))
        _assert_holds(again, range(100, 120), side=2)
        assert again.missing([_key(3), _key(50), _key(119), _key(50)]) == [_key(50)]
    assert len(_shards(tmp_path / "new")) > 5
    assert {path.suffix for path in (tmp_path / "new").iterdir()} == {".safetensors"}


def test_a_shard_is_a_safetensors_file_with_its_keys(tmp_path: Path) -> None:
    _fill(tmp_path, range(3))
    (path,) = _shards(tmp_path)
    with safe_open(path, framework="pt") as file:
        assert [bytes(row.tolist()) for row in file.get_tensor("keys")] == [
            _key(number) for number in range(3)
        ]
        assert file.get_tensor("field.moments").shape == (3, 8, 4, 4)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-10],
        lambda data: data[:20],
        lambda data: b"no safetensors at all",
        lambda data: data + b"more",
    ],
    ids=["empty", "cut", "cut in the header", "foreign", "longer"],
)
def test_a_shard_that_is_not_whole_counts_as_absent(tmp_path, damage, caplog) -> None:
    _fill(tmp_path, range(3))
    (path,) = _shards(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    with caplog.at_level(logging.WARNING):
        store = FeatureStore(tmp_path)
    assert str(path) in caplog.text
    assert "sdtune cache clear" in caplog.text
    assert store.missing([_key(0)]) == [_key(0)]
    assert path.exists()  # it may be somebody's


def test_a_changed_bit_costs_the_shard_and_no_more(tmp_path: Path, caplog) -> None:
    _fill(tmp_path, range(3))
    _fill(tmp_path, range(3, 6))
    path = next(each for each in _shards(tmp_path) if _key(4) in each.read_bytes())
    content = bytearray(path.read_bytes())
    where = content.index(_entry(4)["moments"].numpy().tobytes()[:64])
    content[where] ^= 1
    path.write_bytes(content)
    store = FeatureStore(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert store.get(_key(4)) is None
    assert "damaged. Its entries are computed again" in caplog.text
    _assert_holds(store, range(3))
    assert store.missing([_key(number) for number in range(6)]) == [*map(_key, range(3, 6))]
    assert not path.exists()


def test_a_folder_that_cannot_be_written_to_costs_one_warning_and_memory(tmp_path, caplog) -> None:
    (tmp_path / "file").touch()
    store = FeatureStore(tmp_path / "file")
    with caplog.at_level(logging.WARNING):
        for number in range(4):
            store.put(_key(number), _entry(number))
            store.flush()
    assert caplog.text.count("cannot be written to") == 1
    assert len(store) == 4
    _assert_holds(store, range(4))


def test_a_key_that_is_no_hash_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Expected `key` to be 32 bytes, but got 3"):
        FeatureStore(tmp_path).put(b"key", _entry(0))


def _write_for_ever(folder: Path) -> None:
    store = FeatureStore(folder, shard_bytes=5_000)
    number = 1_000
    while True:
        store.put(_key(number), _entry(number))
        number += 1


@pytest.mark.slow
def test_processes_write_at_once_and_one_that_is_killed_leaves_nothing_that_harms(
    tmp_path: Path,
) -> None:
    context = multiprocessing.get_context("fork")  # a spawned one imports torch first
    victim = context.Process(target=_write_for_ever, args=(tmp_path,))
    # the first two compute the same, as ranks may after a restart
    shares = [range(200), range(200), range(200, 400)]
    writers = [context.Process(target=_fill, args=(tmp_path, share)) for share in shares]
    for each in (victim, *writers):
        each.start()
    early = FeatureStore(tmp_path)
    for each in writers:
        each.join()
        assert each.exitcode == 0
    while not FeatureStore(tmp_path).get(_key(1_000)):
        time.sleep(0.1)
    victim.kill()
    victim.join()
    (tmp_path / ".killed.safetensors.0.tmp").write_bytes(b"half a shard")
    early.refresh()
    for store in (early, FeatureStore(tmp_path)):
        _assert_holds(store, range(400))
        _assert_holds(store, range(1_000, 1_010))


def test_beyond_the_limit_the_least_recently_used_go(tmp_path: Path, caplog) -> None:
    for first in range(0, 12, 3):
        _fill(tmp_path, range(first, first + 3))
    size = _shards(tmp_path)[0].stat().st_size
    long_ago = time.time() - 10 * 24 * 3600
    for path in _shards(tmp_path):
        os.utime(path, (long_ago, long_ago))
    left_behind = temporary_sibling(tmp_path / "a.safetensors")
    for path in (left_behind, tmp_path / ".mine.tmp", tmp_path / "mine.safetensors"):
        path.write_bytes(b"x" * 10)
        os.utime(path, (1, 1))
    store = FeatureStore(tmp_path, limit=2 * size)
    _assert_holds(store, range(3, 6))  # used now
    assert store.missing([_key(9)]) == []  # asked for, so that it will be
    assert store.prune() == 2 * size + 10
    assert not left_behind.exists()
    assert (tmp_path / ".mine.tmp").exists()
    assert (tmp_path / "mine.safetensors").exists()
    left = FeatureStore(tmp_path)
    _assert_holds(left, range(3, 6))
    _assert_holds(left, range(9, 12))
    assert left.missing([_key(0), _key(7)]) == [_key(0), _key(7)]
    assert store.get(_key(0)) is None  # and no error, though it was there
    with caplog.at_level(logging.WARNING):
        assert store.prune(limit=size) == 0
    assert "more than its limit" in caplog.text


def test_there_is_room_for_what_is_here_and_none_in_place_of_what_is_used(tmp_path: Path) -> None:
    _fill(tmp_path, range(6))
    size = _shards(tmp_path)[0].stat().st_size
    ours, others = [_key(number) for number in range(6)], [_key(number) for number in range(6, 12)]
    store = FeatureStore(tmp_path, limit=size + size // 2)
    assert store.room() == size // 2
    assert store.has_room(size, lambda: ours)
    assert not store.has_room(size, lambda: others)
    assert store.has_room(size // 2, lambda: others)
    assert store.has_room(size, lambda: ours[:3] + others[:3])
    long_ago = time.time() - 2 * 24 * 3600
    os.utime(_shards(tmp_path)[0], (long_ago, long_ago))
    fresh = FeatureStore(tmp_path, limit=store.limit)
    assert fresh.has_room(size, lambda: others)
    assert not fresh.has_room(2 * size, lambda: ours)


def test_what_is_mapped_at_once_is_bounded(tmp_path: Path) -> None:
    _fill(tmp_path, range(100), shard_bytes=1_000)
    store = FeatureStore(tmp_path)
    _assert_holds(store, range(100))
    assert len(_shards(tmp_path)) > 20
    assert len(store._mapped) <= 16
