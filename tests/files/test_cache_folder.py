from __future__ import annotations

from pathlib import Path

import pytest

from sdtune.files.cache_folder import cache_limit, default_cache_dir, parse_size, size_words


def test_the_environment_names_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SDTUNE_CACHE", str(tmp_path))
    assert default_cache_dir() == tmp_path
    monkeypatch.delenv("SDTUNE_CACHE")
    assert default_cache_dir().parts[-2:] == (".cache", "sdtune")


@pytest.mark.parametrize(
    ("text", "count"),
    [("50GB", 50 * 10**9), ("1.5 mb", 1_500_000), ("12", 12), ("2TB", 2 * 10**12)],
)
def test_the_environment_limits_what_features_take(
    monkeypatch: pytest.MonkeyPatch, text: str, count: int
) -> None:
    monkeypatch.setenv("SDTUNE_CACHE_LIMIT", text)
    assert cache_limit() == count
    monkeypatch.delenv("SDTUNE_CACHE_LIMIT")
    assert cache_limit() == 100 * 10**9


@pytest.mark.parametrize("text", ["much", "-1GB", "GB", "1 GiB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="Expected `limit` to be a size such as 50GB, but got"):
        parse_size("limit", text)


def test_sizes_are_worded() -> None:
    assert [size_words(count) for count in (12, 1_500, 25 * 10**9)] == ["12 B", "1.5 KB", "25.0 GB"]
