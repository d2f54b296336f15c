"""Folders and pictures out of old archives, whose names are no UTF-8, are read as any other."""

import os
import sys
from dataclasses import asdict

import pytest
from PIL import Image

from sdtune.data.left_out import list_left_out
from sdtune.data.manifest import Manifest
from sdtune.data.problems import DataError
from sdtune.data.scan import scan_folder
from sdtune.evaluation.training_set import TrainingSet
from sdtune.files.json_file import read_json, write_json
from sdtune.files.printable_text import encodable
from sdtune.run_folder.record import TrainingPictures

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="file systems there take any bytes")

NAME = os.fsdecode(b"caf\xe9")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two pictures with captions, all of such names, in a folder of such a name."""
    monkeypatch.setenv("SDTUNE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / NAME
    folder.mkdir()
    for number, colour in enumerate(("red", "blue")):
        Image.new("RGB", (8, 8), colour).save(folder / f"{number}{NAME}.png")
        (folder / f"{number}{NAME}.txt").write_text(f"a drawing in {colour}")
    return folder


def test_a_folder_of_such_a_name_is_read_and_remembered(folder, monkeypatch):
    scan = scan_folder(folder)
    assert [each.name for each in scan.pictures] == [f"0{NAME}.png", f"1{NAME}.png"]
    assert scan.problems == []
    manifest = Manifest(folder)
    facts = manifest.facts([each.path for each in scan.pictures])
    monkeypatch.setattr("sdtune.data.manifest._look_at", lambda *_: pytest.fail("looked at again"))
    assert Manifest(folder).facts(list(facts)) == facts
    assert len(TrainingSet.from_folder(folder).describe().sha256) == 64


def test_a_record_names_what_was_held_out_and_is_read_again(folder, tmp_path):
    for number in range(2, 4):
        Image.new("RGB", (8, 8), "green").save(folder / f"{number}{NAME}.png")
    held_out = [encodable(f"0{NAME}.png")]
    told = TrainingSet.from_folder(folder, held_out=held_out).describe()
    assert told.held_out == held_out
    assert told.count == 3
    path = tmp_path / "told.json"
    write_json(path, {"version": 1, **asdict(told)})
    found = read_json(TrainingPictures, path, 1)
    assert found.held_out == held_out
    assert found.folder.endswith(encodable(NAME))


def test_a_long_list_of_such_pictures_is_written(folder, tmp_path):
    for number in range(25):
        (folder / f"bad {number}{NAME}.png").write_text("no picture")
        (folder / f"bad {number}{NAME}.txt").write_text("a caption")
    lines = list(map(str, scan_folder(folder).problems))
    path = list_left_out(lines, tmp_path, is_first=True)
    shown = path.read_text(encoding="utf-8").splitlines()
    assert len(shown) == 25
    assert all("caf\\udce9.png: does not open" in line for line in shown)
    assert "and 5 more: all 25 are in" in str(DataError(lines))


def test_such_a_folder_of_kohyas_is_no_caption(tmp_path):
    subject = tmp_path / f"3_{NAME}"
    subject.mkdir()
    Image.new("RGB", (8, 8)).save(subject / "0.png")
    (told,) = scan_folder(tmp_path, cache_dir=tmp_path / "cache").problems
    assert told.about == str(subject)
    assert "rename it" in told.sentence
    (subject / "0.txt").write_text("a cat")
    assert scan_folder(tmp_path, cache_dir=tmp_path / "cache").problems == []
