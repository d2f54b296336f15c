import hashlib
import os

import pytest
from PIL import Image

from sdtune.data import manifest as manifest_module
from sdtune.data.pictures import Picture
from sdtune.data.problems import Problem
from sdtune.data.scan import Scan, scan_folder, scan_pictures


def test_a_scan_joins_pictures_and_captions(make_folder):
    folder = make_folder(2)
    pictures, problems = scan_pictures(folder)
    assert problems == []
    digest = hashlib.sha256((folder / "01.png").read_bytes()).hexdigest()
    caption = "a drawing of thing 1"
    assert pictures[1] == Picture(folder / "01.png", "01.png", caption, (24, 16), digest)


def test_one_caption_for_all_needs_no_files(make_folder):
    folder = make_folder(2)
    (folder / "00.txt").unlink()
    pictures, problems = scan_pictures(folder, caption="a photo of sks cat")
    assert problems == []
    assert {picture.caption for picture in pictures} == {"a photo of sks cat"}


def test_a_scan_lists_all_problems(make_folder, tmp_path):
    folder = make_folder(3)
    (folder / "00.png").write_bytes(b"")
    (folder / "01.txt").unlink()
    (folder / "more.caption").write_text("nobody")
    pictures, problems = scan_pictures(folder)
    assert [picture.name for picture in pictures] == ["02.png"]
    assert problems[0] == (
        f"{folder}/00.png: does not open: it is empty; save it again as PNG or JPEG, or delete it."
    )
    assert [problem.split(": ")[0] for problem in problems[1:]] == [
        f"{folder}/more.caption",
        f"{folder}/01.png",
    ]
    (tmp_path / "nothing").mkdir()
    assert "holds no pictures" in scan_pictures(tmp_path / "nothing")[1][0]
    assert "there is no such folder" in scan_pictures(tmp_path / "gone")[1][0]


def test_a_second_scan_opens_no_picture(make_folder, monkeypatch):
    folder = make_folder(3)
    first = scan_folder(folder)
    monkeypatch.setattr(manifest_module, "_look_at", None)
    assert scan_folder(folder) == first
    assert scan_folder(folder, caption="a cat").pictures[0].size == (24, 16)


def test_files_of_other_kinds_are_said_to_be_passed_over(make_folder):
    folder = make_folder(1)
    for name in ("README.md", "LICENSE"):
        (folder / name).touch()
    assert scan_folder(folder).passed_over_line() == ""
    for name in ("b.psd", "c.PSD", "d.mp4", "notebook"):
        (folder / name).touch()
    line = scan_folder(folder).passed_over_line()
    assert line.startswith("4 files are neither pictures nor captions and are passed over (2 .psd,")
    assert Scan().passed_over_line() == ""


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links here")
def test_links_out_of_the_folder_are_refused_and_those_within_are_not(make_folder, tmp_path):
    folder = make_folder(2)
    Image.new("RGB", (9, 9)).save(tmp_path / "secret.png")
    (folder / "out.png").symlink_to(tmp_path / "secret.png")
    (folder / "in.png").symlink_to(folder / "00.png")
    (folder / "in.txt").symlink_to("/dev/zero")
    (folder / "01.txt").unlink()
    (tmp_path / "passwords").write_text("secret")
    (folder / "01.txt").symlink_to(tmp_path / "passwords")
    scan = scan_folder(folder)
    assert [each.name for each in scan.pictures] == ["00.png"]
    problems = "\n".join(map(str, scan.problems))
    assert f"{folder}/out.png: is a link out of the folder; copy the picture there." in problems
    assert f"{folder}/in.txt: cannot be read as UTF-8 text (it is not a file)" in problems
    assert f"{folder}/01.txt: cannot be read as UTF-8 text (it is a link out of the f" in problems
    assert "secret" not in problems.replace("secret.png", "")


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links here")
def test_links_to_folders_of_pictures_are_told(make_folder, tmp_path):
    folder = make_folder(2)
    (tmp_path / "else").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "else" / "more.png")
    (tmp_path / "notes").mkdir()
    (folder / "notes").symlink_to(tmp_path / "notes")
    (folder / "circle").symlink_to(folder)
    scan = scan_folder(folder)
    assert scan.problems == []
    assert [each.name for each in scan.pictures] == ["00.png", "01.png"]
    assert scan.notes == [
        f"{folder}: 1 link leads to a folder within, such as circle; the pictures there are read "
        "once."
    ]
    (folder / "cats").symlink_to(tmp_path / "else")
    told = Problem(
        f"{folder}/cats",
        "is a link to a folder outside, whose pictures are not read; copy them there, or name "
        "their folder as well.",
    )
    assert scan_folder(folder).problems == [told]
    skipped = scan_folder(folder, on_problem="skip")
    assert (skipped.problems, skipped.left_out) == ([], [told])
    assert [each.name for each in skipped.pictures] == ["00.png", "01.png"]


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links here")
def test_a_folder_of_nothing_but_a_link_to_pictures_says_so(tmp_path):
    (tmp_path / "else").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "else" / "a.png")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cats").symlink_to(tmp_path / "else")
    empty, linked = scan_folder(tmp_path / "data").problems
    assert str(empty).startswith(f"{tmp_path}/data: holds no pictures")
    assert str(linked).startswith(f"{tmp_path}/data/cats: is a link to a folder outside")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipes_in_place_of_pictures_and_captions_are_not_waited_for(make_folder):
    folder = make_folder(2)
    os.mkfifo(folder / "pipe.png")
    (folder / "00.txt").unlink()
    os.mkfifo(folder / "00.txt")
    problems = scan_folder(folder).problems
    assert [problem.about.rpartition("/")[2] for problem in problems] == [
        "pipe.png",
        "00.txt",
        "00.png",
        "pipe.png",
    ]


def test_what_is_left_out_may_have_any_name(make_folder):
    """A path may hold what ends it in a line."""
    folder = make_folder(2)
    (folder / "00.png").rename(folder / "Art: one.png")
    (folder / "00.txt").rename(folder / "Art: one.txt")
    (folder / "metadata.jsonl").write_text('{"file_name": "Art: one.png", "text": "other"}\n')
    (told,) = scan_folder(folder).problems
    assert told.about == f"{folder}/Art: one.png"
    assert str(told).startswith(f"{folder}/Art: one.png: its captions disagree, in ")
    skipped = scan_folder(folder, on_problem="skip")
    assert [each.name for each in skipped.pictures] == ["01.png"]
    assert (skipped.problems, skipped.left_out) == ([], [told])


@pytest.mark.parametrize("optional", [True, False])
@pytest.mark.parametrize("content", [b"caf\xe9", b" \n"], ids=["latin", "empty"])
def test_a_picture_whose_caption_cannot_be_used_is_left_out_as_is_said(
    make_folder, content, optional
):
    folder = make_folder(3)
    (folder / "01.txt").write_bytes(content)
    if optional:
        (folder / "02.txt").unlink()
    scan = scan_folder(folder, on_problem="skip", optional_captions=optional)
    assert [(each.name, each.caption) for each in scan.pictures] == [
        ("00.png", "a drawing of thing 0"),
        ("02.png", "" if optional else "a drawing of thing 2"),
    ]
    assert scan.left_out[0].about == f"{folder}/01.txt"
    told = scan_folder(folder, optional_captions=optional)
    assert "01.png" not in [each.name for each in told.pictures]


def test_a_picture_may_lack_a_caption_unless_damaged_metadata_may_hold_it(make_folder):
    folder = make_folder(2)
    (folder / "01.txt").unlink()
    row = '{"file_name": "00.png", "text": "a drawing of thing 0"}\n'
    for lines, names in ((row, ["00.png", "01.png"]), (f"{row}no\n", ["00.png"])):
        (folder / "metadata.jsonl").write_text(lines)
        scan = scan_folder(folder, on_problem="skip", optional_captions=True)
        assert [each.name for each in scan.pictures] == names
    assert [each.about for each in scan.left_out] == [
        f"{folder}/metadata.jsonl:2",
        f"{folder}/01.png",
    ]
    (folder / "00.txt").unlink()
    (folder / "metadata.jsonl").write_bytes(b"caf\xe9")
    told = scan_folder(folder, on_problem="skip", optional_captions=True)
    assert [each.about for each in told.problems] == [f"{folder}/metadata.jsonl", str(folder)]


def test_a_caption_that_cannot_be_used_leaves_out_a_picture_that_has_another(make_folder):
    folder = make_folder(2)
    (folder / "01.caption").write_text("")
    skipped = scan_folder(folder, on_problem="skip")
    assert [each.name for each in skipped.pictures] == ["00.png"]
    assert [each.about for each in skipped.left_out] == [f"{folder}/01.caption"]
