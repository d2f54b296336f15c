from __future__ import annotations

import errno
import json
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdtune.data import caption_files
from sdtune.data.caption_files import caption_folder, folder_problems
from sdtune.data.scan import scan_folder


class Namer:
    """Says the colour of a picture's middle, and remembers how many it saw at once."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[int, int]]] = []

    def describe(self, images: Sequence[Image.Image]) -> list[str]:
        self.batches.append([image.size for image in images])
        colours = [np.asarray(image)[image.height // 2, image.width // 2] for image in images]
        return ["" if colour.max() == 0 else f" a  {colour[0]} red\n" for colour in colours]


def _picture(path: Path, red: int, size: tuple[int, int] = (8, 8)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (red, 0, 0)).save(path)


def test_captions_are_written_beside_pictures_and_read_by_training(tmp_path: Path) -> None:
    for number in range(5):
        _picture(tmp_path / "sub" / f"{number}.png", 200 + number)
    _picture(tmp_path / "sub" / "0_mask.png", 9)
    namer = Namer()
    done = caption_folder(tmp_path, namer, batch_size=2)
    assert [len(batch) for batch in namer.batches] == [2, 2, 1]
    assert done.problems == []
    assert (tmp_path / "sub" / "3.txt").read_text() == "a 203 red\n"
    assert list(done.written) == [tmp_path / "sub" / f"{number}.txt" for number in range(5)]
    scan = scan_folder(tmp_path)
    assert scan.problems == []
    assert [each.caption for each in scan.pictures] == [f"a {200 + n} red" for n in range(5)]


def test_what_is_there_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    for number, name in enumerate(("a", "b", "c", "d", "e")):
        _picture(tmp_path / f"{name}.png", 200 + number)
    (tmp_path / "a.txt").write_text("mine")
    (tmp_path / "b.caption").write_text("mine too")
    (tmp_path / "c.txt").write_text(" \n")  # nothing is lost
    (tmp_path / "d.txt").write_bytes(b"caf\xe9")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "e.png", "text": "in a row"}')
    done = caption_folder(tmp_path, Namer())
    assert (done.kept, done.problems) == (4, [])
    assert list(done.written) == [tmp_path / "c.txt"]
    assert (tmp_path / "a.txt").read_text() == "mine"
    assert (tmp_path / "d.txt").read_bytes() == b"caf\xe9"
    again = caption_folder(tmp_path, Namer())
    assert (again.kept, again.written) == (5, {})
    told = caption_folder(tmp_path, Namer(), overwrite=True)
    assert (told.kept, told.problems) == (1, [])
    assert (tmp_path / "b.caption").read_text() == "a 201 red\n"
    assert not (tmp_path / "b.txt").exists()
    assert not (tmp_path / "e.txt").exists()


def test_it_goes_on_past_what_cannot_be_captioned_and_says_which(tmp_path: Path) -> None:
    _picture(tmp_path / "a.png", 200)
    (tmp_path / "b.png").write_bytes(b"no picture")
    _picture(tmp_path / "c.png", 0)
    _picture(tmp_path / "d.png", 203)
    for suffix in ("png", "jpg"):
        _picture(tmp_path / f"twin.{suffix}", 200)
    _picture(tmp_path / "two.png", 200)
    (tmp_path / "two.txt").write_text("one")
    (tmp_path / "two.caption").write_text("two")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
    done = caption_folder(tmp_path, Namer(), overwrite=True, batch_size=3)
    assert [path.name for path in done.written] == ["a.txt", "d.txt"]
    problems = [each.replace(f"{tmp_path}/", "") for each in done.problems]
    expected = {
        "b.png: does not open": "save it again",
        "c.png: nothing is found in it": "lower the threshold",
        "pipe.png: does not open": "it is not a file",
        "twin.jpg: shares the name of its caption file with twin.png": "rename one",
        "twin.png: shares the name of its caption file with twin.jpg": "rename one",
        "two.png: has the captions two.txt and two.caption": "delete one of them",
    }
    assert len(problems) == len(expected)
    for begin, part in expected.items():
        assert any(each.startswith(begin) and part in each for each in problems), begin
    assert (tmp_path / "two.txt").read_text() == "one"


def test_caption_files_are_found_as_training_finds_them(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "café.png")
    for name in ("IMG_1.PNG", "IMG_2.png", "empty.png", decomposed):
        _picture(tmp_path / name, 200)
    texts = {"IMG_1.TXT": "one", "IMG_2.Caption": "two", "empty.TXT": "", "café.txt": "a cup"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    done = caption_folder(tmp_path, Namer())
    assert (done.kept, done.problems) == (3, [])
    assert list(done.written) == [tmp_path / "empty.TXT"]
    scan = scan_folder(tmp_path)
    assert scan.problems == []
    assert [each.captions for each in scan.pictures] == [
        ("one",),
        ("two",),
        ("a cup",),
        ("a 200 red",),
    ]
    assert len(caption_folder(tmp_path, Namer(), overwrite=True).written) == 4
    assert len(list(tmp_path.iterdir())) == 8


@pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.csv"])
def test_captions_in_another_column_of_metadata_are_kept(tmp_path: Path, name: str) -> None:
    for each in ("a", "b", "c"):
        _picture(tmp_path / f"{each}.png", 200)
    rows = [{"file_name": f"{each}.png", "caption": f"mine {each}"} for each in "ab"]
    lines = ["file_name,caption", *(",".join(row.values()) for row in rows)]
    as_json = "\n".join(map(json.dumps, rows))
    (tmp_path / name).write_text(as_json if name.endswith("l") else "\n".join(lines))
    first = 1 if name.endswith("l") else 2
    assert folder_problems(tmp_path) == [
        f"{tmp_path}/{name}:{first}: and 1 more line hold no `text`; name the column of the "
        "captions (the line has 'caption') with `--caption_column`, or write captions there or "
        "delete the lines: captions beside the pictures might differ from what is there."
    ]
    assert folder_problems(tmp_path, "caption") == []
    done = caption_folder(tmp_path, Namer(), caption_column="caption")
    assert (done.kept, list(done.written)) == (2, [tmp_path / "c.txt"])
    scan = scan_folder(tmp_path, caption_column="caption")
    assert scan.problems == []
    assert [each.caption for each in scan.pictures] == ["mine a", "mine b", "a 200 red"]


def test_metadata_that_cannot_be_read_may_hold_captions(tmp_path: Path) -> None:
    _picture(tmp_path / "a.png", 200)
    path = tmp_path / "metadata.jsonl"
    path.write_text('{"file_name": "gone.png"}\n')
    assert folder_problems(tmp_path) == []
    path.write_text('{"file_name": "a.png", "text": "it"\n')
    (problem,) = folder_problems(tmp_path)
    assert problem.startswith(f"{path}:1: is no JSON")
    path.write_bytes(b"caf\xe9")
    (problem,) = folder_problems(tmp_path)
    assert problem.startswith(f"{path}: cannot be read as UTF-8 text")


def test_a_picture_with_the_longest_name_is_captioned(tmp_path: Path) -> None:
    _picture(tmp_path / ("x" * 251 + ".png"), 200)
    done = caption_folder(tmp_path, Namer())
    assert done.problems == []
    assert [len(path.name) for path in done.written] == [255]


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOSPC, errno.EROFS])
def test_a_caption_that_cannot_be_written_keeps_no_other_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    for name in ("a", "b", "c"):
        _picture(tmp_path / f"{name}.png", 200)
    write = caption_files.write_caption

    def refuse(path: Path, caption: str) -> None:
        if path.name == "b.txt":
            raise OSError(number, "for a reason", str(path))
        write(path, caption)

    monkeypatch.setattr(caption_files, "write_caption", refuse)
    if number != errno.EACCES:
        with pytest.raises(OSError, match="for a reason"):
            caption_folder(tmp_path, Namer())
        assert not (tmp_path / "c.txt").exists()
        return
    done = caption_folder(tmp_path, Namer())
    assert [path.name for path in done.written] == ["a.txt", "c.txt"]
    (problem,) = done.problems
    assert problem.startswith(f"{tmp_path}/b.txt: cannot be written (for a reason); ")


def test_what_was_written_stays_when_it_is_interrupted(tmp_path: Path) -> None:
    class Failing(Namer):
        def describe(self, images: Sequence[Image.Image]) -> list[str]:
            if len(self.batches) == 2:
                raise KeyboardInterrupt
            return super().describe(images)

    for number in range(6):
        _picture(tmp_path / f"{number}.png", 200)
    with pytest.raises(KeyboardInterrupt):
        caption_folder(tmp_path, Failing(), batch_size=2)
    assert len(list(tmp_path.glob("*.txt"))) == 4
    done = caption_folder(tmp_path, Namer(), batch_size=2)
    assert (done.kept, len(done.written)) == (4, 2)


def test_large_photos_are_read_small_and_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (3000, 1500), (200, 0, 0)).save(tmp_path / "a.jpg", exif=exif)
    namer = Namer()
    caption_folder(tmp_path, namer)
    assert namer.batches == [[(512, 1024)]]


def test_folders_in_which_nothing_would_read_the_captions(tmp_path: Path) -> None:
    assert "there is no such folder" in folder_problems(tmp_path / "gone")[0]
    assert "holds no pictures" in folder_problems(tmp_path)[0]
    _picture(tmp_path / "3_cat" / "a.png", 1)
    assert folder_problems(tmp_path) == []
    (tmp_path / "3_cat" / "metadata.jsonl").write_text("{}")
    _picture(tmp_path / "train" / "b.png", 1)
    (tmp_path / "metadata.parquet").write_bytes(b"")
    assert "is read as Hugging Face's imagefolder" in folder_problems(tmp_path)[0]
