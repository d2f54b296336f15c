import logging

import pytest
import torch

from sdtune.data.latent_cache import LatentCache, default_cache_dir, latent_key

KEY = latent_key(b"bytes", "vae", (8, 8), (0.0, 0.0, 8.0, 8.0), False)


def test_what_is_put_is_got_bit_for_bit(tmp_path):
    cache = LatentCache(tmp_path / "new")
    assert cache.get(KEY) is None
    moments = torch.randn(8, 4, 4)
    cache.put(KEY, moments)
    assert torch.equal(LatentCache(tmp_path / "new").get(KEY), moments)
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".safetensors"]


def test_everything_that_goes_in_changes_the_key():
    keys = {
        KEY,
        latent_key(b"edited", "vae", (8, 8), (0.0, 0.0, 8.0, 8.0), False),
        latent_key(b"bytes", "other vae", (8, 8), (0.0, 0.0, 8.0, 8.0), False),
        latent_key(b"bytes", "vae", (16, 16), (0.0, 0.0, 8.0, 8.0), False),
        latent_key(b"bytes", "vae", (8, 8), (0.0, 1.0, 8.0, 8.0), False),
        latent_key(b"bytes", "vae", (8, 8), (0.0, 0.0, 8.0, 8.0), True),
    }
    assert len(keys) == 6


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-10],
        lambda data: data[:20],
        lambda data: b"no safetensors at all",
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    ],
    ids=["empty", "cut", "cut in the header", "foreign", "one bit"],
)
def test_a_damaged_entry_counts_as_absent(tmp_path, damage, caplog):
    cache = LatentCache(tmp_path)
    cache.put(KEY, torch.randn(8, 4, 4))
    (path,) = tmp_path.rglob("*.safetensors")
    path.write_bytes(damage(path.read_bytes()))
    with caplog.at_level(logging.WARNING):
        assert cache.get(KEY) is None
    assert "computed again" in caplog.text


def test_a_folder_that_cannot_be_written_to_costs_one_warning(tmp_path, caplog):
    (tmp_path / "file").touch()
    cache = LatentCache(tmp_path / "file")
    with caplog.at_level(logging.WARNING):
        cache.put(KEY, torch.zeros(8, 4, 4))
        cache.put(KEY, torch.zeros(8, 4, 4))
    assert caplog.text.count("cannot be written to") == 1


def test_the_environment_names_the_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("SDTUNE_CACHE", str(tmp_path))
    assert default_cache_dir() == tmp_path
    monkeypatch.delenv("SDTUNE_CACHE")
    assert default_cache_dir().parts[-2:] == (".cache", "sdtune")
