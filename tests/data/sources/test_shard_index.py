import os

import pytest

from sdtune.data.scan import scan_folder
from sdtune.data.sources import webdataset
from tests.data.sources.conftest import png


@pytest.fixture
def read(monkeypatch):
    """Names of the shards whose headers were read."""
    names = []
    real = webdataset._read_shard
    monkeypatch.setattr(
        webdataset, "_read_shard", lambda shard: (names.append(shard.name), real(shard))[1]
    )
    return names


@pytest.fixture
def shards(shard, tmp_path):
    for number in range(3):
        path = shard({"0.png": png(number), "0.txt": f"thing {number}", "1.png": png(9)})
        (tmp_path / "shards").mkdir(exist_ok=True)
        path.rename(tmp_path / "shards" / f"{number}.tar")
    return tmp_path / "shards"


def seen(folder, cache):
    scan = scan_folder(folder, cache_dir=cache)
    members = [(each.path, each.path.offset, each.path.length) for each in scan.pictures]
    return members, [each.captions for each in scan.pictures], list(map(str, scan.problems))


def test_headers_are_read_once_and_a_changed_shard_anew(shards, read, tmp_path, shard):
    first = seen(shards, tmp_path / "cache")
    assert read == ["0.tar", "1.tar", "2.tar"]
    assert len(first[2]) == 3  # each has a picture without a caption
    read.clear()
    assert seen(shards, tmp_path / "cache") == first
    assert read == []
    shard({"0.png": png(5), "0.txt": "changed"}).rename(shards / "1.tar")
    (shards / "2.tar").unlink()
    _, captions, problems = seen(shards, tmp_path / "cache")
    assert (read, captions, len(problems)) == (["1.tar"], [("thing 0",), ("changed",)], 1)
    read.clear()
    os.utime(shards / "0.tar", ns=(1, 1))
    assert seen(shards, tmp_path / "cache")[1] == captions
    assert read == ["0.tar"]


def test_a_damaged_shard_is_tried_again_and_a_damaged_index_read_anew(
    shards, read, tmp_path, caplog
):
    whole = (shards / "1.tar").read_bytes()
    (shards / "1.tar").write_bytes(whole[:700])
    for _ in range(2):
        assert any("1.tar: is no whole tar file" in line for line in seen(shards, tmp_path)[2])
    assert read == ["0.tar", "1.tar", "2.tar", "1.tar"]
    (shards / "1.tar").write_bytes(whole)
    first = seen(shards, tmp_path)
    read.clear()
    (index,) = (tmp_path / "manifests").glob("*.shards.jsonl")
    for damage in ("", "{}", index.read_text()[:-20], index.read_text().replace("[", "{")):
        index.write_text(damage)
        assert seen(shards, tmp_path) == first
    assert read.count("2.tar") >= 3
    assert "shards are looked at again" in caplog.text
