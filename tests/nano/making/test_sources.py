"""Which vendors train nano, which are held out, and how their pictures are looked up."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

import pytest

from sdtune.nano.making import sprites
from sdtune.nano.making.objects import OBJECTS, WELL_KNOWN, object_label, with_article
from sdtune.nano.making.sources import (
    HELD_OUT_SOURCES,
    NAMES,
    SOURCES,
    TRAINING_SOURCES,
    IconSet,
    Source,
    code_point,
)


def test_held_out_vendors_stay_held_out() -> None:
    assert {source.style for source in HELD_OUT_SOURCES} == {"openmoji", "emojione-v1"}
    packages = {source.package for source in TRAINING_SOURCES}
    assert not packages & {source.package for source in HELD_OUT_SOURCES}
    assert len(SOURCES) == len(TRAINING_SOURCES) + len(HELD_OUT_SOURCES)


def test_no_object_is_listed_twice() -> None:
    assert len(set(OBJECTS)) == len(OBJECTS) >= 150
    assert set(WELL_KNOWN) < set(OBJECTS)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("apple", "an apple"), ("turtle", "a turtle"), ("unicorn", "a unicorn"),
     ("umbrella", "an umbrella"), ("grapes", "grapes")],
)  # fmt: skip
def test_articles(name: str, expected: str) -> None:
    assert with_article(name) == expected


@pytest.fixture
def names_folder(tmp_path: Path) -> Path:
    entries = [
        {"label": "red apple", "hexcode": "1F34E"},
        {"label": "heart", "hexcode": "2764-FE0F"},
    ]
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "data.json").write_text(json.dumps(entries))
    return tmp_path


def test_code_points_are_found_by_name(names_folder: Path) -> None:
    assert object_label("apple") == "red apple"
    assert code_point("apple", names_folder) == "1f34e"
    with pytest.raises(KeyError, match="no such thing"):
        code_point("no such thing", names_folder)


def _icon_package(folder: Path, with_points: bool) -> Path:
    icons = {
        "icons": {"red-apple": {"body": "<rect width='8' height='8' fill='#f00'/>"}},
        "aliases": {"apple": {"parent": "red-apple"}},
        "width": 8,
        "height": 8,
    }
    folder.mkdir()
    (folder / "icons.json").write_text(json.dumps(icons))
    if with_points:
        (folder / "chars.json").write_text(json.dumps({"1f34e": "red-apple"}))
    return folder


def test_icons_are_found_by_code_point_or_by_other_vendors_names(tmp_path: Path) -> None:
    with_points = IconSet(_icon_package(tmp_path / "a", with_points=True))
    without = IconSet(_icon_package(tmp_path / "b", with_points=False))
    svg = with_points.picture("1f34e", set())
    assert svg is not None
    assert b'viewBox="0 0 8 8"' in svg
    assert without.picture("1f34e", set()) is None
    assert without.picture("1f34e", {"apple"}) == svg


def test_objects_are_rendered_from_the_packages(
    tmp_path: Path, names_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("resvg_py")
    packages = {NAMES.package: names_folder, "icons": _icon_package(tmp_path / "a", True)}
    monkeypatch.setattr(Source, "fetch", lambda self, cache_dir: packages[self.package])
    source = Source("noto", "icons", "1", "MIT", "nobody")
    path = tmp_path / "sprites.zip"
    for _ in range(2):  # the same bytes again
        sprites.build_sprites(path, [source], ["apple"], 16, tmp_path)
        content = path.read_bytes()
    sprites.build_sprites(path, [source], ["apple"], 16, tmp_path)
    assert path.read_bytes() == content
    book = sprites.SpriteBook(path)
    assert book.styles == {"apple": ("noto",)}
    assert book.sprites["noto", "apple"].getpixel((8, 8)) == (255, 0, 0, 255)


def test_without_npm_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="Install npm"):
        TRAINING_SOURCES[0].fetch(tmp_path / "packages")


@pytest.mark.parametrize("filters", [True, False], ids=["filter", "none, as before Python 3.11.4"])
def test_a_package_is_fetched_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, filters: bool
) -> None:
    if not filters:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    published = tmp_path / "published.tgz"
    (tmp_path / "icons.json").write_text("{}")
    with tarfile.open(published, "w:gz") as archive:
        archive.add(tmp_path / "icons.json", "package/icons.json")
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text(f'#!/bin/sh\ncp "{published}" iconify-json-noto-1.2.0.tgz\n')
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{npm.parent}{os.pathsep}{os.environ['PATH']}")
    source = Source("noto", "@iconify-json/noto", "1.2.0", "OFL-1.1", "Google")
    folder = source.fetch(tmp_path / "packages")
    assert [each.name for each in folder.iterdir()] == ["icons.json"]
    assert [each.name for each in folder.parent.iterdir()] == [folder.name]
    npm.unlink()
    assert source.fetch(tmp_path / "packages") == folder
