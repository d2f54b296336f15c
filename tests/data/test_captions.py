import json
import shlex
import unicodedata

import pytest

from sdtune.data.captions import read_captions, several_note
from sdtune.data.image_folder import find_pictures


def _read(folder, *files, **texts):
    for name in files:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    for name, text in texts.items():
        stem, suffix = name.rsplit("_", 1)
        (folder / f"{stem}.{suffix}").write_text(text, encoding="utf-8")
    captions, problems = read_captions(folder, find_pictures(folder))
    names = {path.relative_to(folder).as_posix(): text for path, text in captions.items()}
    return names, [str(problem).replace(f"{folder}/", "") for problem in problems]


def test_several_captions_are_lines_and_files_beside_and_rows_and_lists(tmp_path):
    captions, problems = _read(
        tmp_path,
        *("a.png", "b.png", "c.png"),
        a_txt="one\n\n two  words \none\n",
        a_caption="three",
        metadata_jsonl='{"file_name": "b.png", "text": ["x", "y  z", "x"]}\n'
        '{"file_name": "c.png", "text": "u"}\n{"file_name": "c.png", "text": "v"}\n',
    )
    assert problems == []
    assert captions == {
        "a.png": ["three", "one", "two words"],
        "b.png": ["x", "y z"],
        "c.png": ["u", "v"],
    }
    assert several_note(captions.values()) == [
        "3 pictures have several captions, of which each sample draws one."
    ]
    assert several_note([["one"], []]) == []


def test_metadata_reaches_into_folders(tmp_path):
    rows = [{"file_name": "a.png", "text": "a"}, {"file_name": "sub/b.png", "text": "b\u2028b"}]
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    captions, problems = _read(tmp_path, "a.png", "sub/b.png", metadata_jsonl=lines + "\n\n")
    assert problems == []
    assert captions == {"a.png": ["a"], "sub/b.png": ["b b"]}


def test_names_are_one_in_any_form_of_their_accents(tmp_path):
    names = [unicodedata.normalize("NFD", each) for each in ("café.png", "thé.png")]
    row = json.dumps({"file_name": "thé.png", "text": "tea"})
    captions, problems = _read(tmp_path, *names, café_txt="a cup", metadata_jsonl=row)
    assert problems == []
    assert captions == {names[0]: ["a cup"], names[1]: ["tea"]}


def test_captions_of_masks_are_passed_over(tmp_path):
    rows = ["a.png", "a_mask.png", "mask/b.png", ".c.png", "d.tga", "e.png"]
    for name in rows[1:5]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for name in ("a_mask.txt", "mask/b.txt"):
        (tmp_path / name).write_text("black and white")
    pictures = [tmp_path / "a.png", tmp_path / "b.png"]
    for picture in pictures:
        picture.touch()
    (tmp_path / "b.txt").write_text("it")
    lines = (json.dumps({"file_name": name, "text": "it"}) for name in rows)
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    captions, problems = read_captions(tmp_path, pictures)
    assert captions == {each: ["it"] for each in pictures}
    assert [str(each).removeprefix(f"{tmp_path}/metadata.jsonl:") for each in problems] == [
        "4: '.c.png' is there but not read, for it is hidden or a link; put the file itself there, "
        "or delete the line.",
        "5: 'd.tga' is no picture of a kind that is read; save it as PNG, JPEG or WebP, or delete "
        "the line.",
        "6: there is no picture 'e.png'; add it, or delete the line.",
    ]


def test_csv_may_quote(tmp_path):
    text = 'file_name,text\r\na.png,"a cat, sleeping"\r\nb.png,"two\nlines"\r\n'
    captions, problems = _read(tmp_path, "a.png", "b.png", metadata_csv=text)
    assert problems == []
    assert captions == {"a.png": ["a cat, sleeping"], "b.png": ["two lines"]}


def test_all_problems_are_listed_at_once(tmp_path):
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    captions, problems = _read(
        tmp_path,
        *("a.png", "b.png", "empty.png", "latin.png", "bare.png"),
        a_txt="one",
        b_txt="same",
        empty_txt=" \n",
        orphan_txt="no picture",
        README_txt="notes may lie about",
        metadata_jsonl='{"file_name": "a.png", "text": "two"}\n'
        '{"file_name": "b.png", "text": "same"}\n{"file_name": "gone.png", "text": "x"}\n'
        'not json\n{"file_name": "b.png"}\n[1]\n{"file_name": "b.png", "text": ["same", 1]}\n'
        '{"file_name": "b.png", "text": [" "]}\n',
    )
    assert captions["b.png"] == ["same"]
    expected = [
        "latin.txt: cannot be read as UTF-8 text",
        "orphan.txt: there is no picture of this name",
        "metadata.jsonl:3: there is no picture 'gone.png'",
        "metadata.jsonl:4: is no JSON (Expecting value",
        "metadata.jsonl:5: holds no `file_name` and `text`",
        "metadata.jsonl:6: holds [1] and no mapping",
        "metadata.jsonl:7: holds no `file_name` and `text`",
        "empty.txt: the caption is empty",
        "metadata.jsonl:8: the caption is empty",
        "a.png: its captions disagree, in ",
        "bare.png: has no caption; write one into bare.txt",
        "latin.png: has no caption",
    ]
    assert len(problems) == len(expected)
    for problem, start in zip(problems, expected, strict=True):
        assert problem.startswith(start)
        assert problem.endswith(".")


def test_a_folder_without_captions_is_one_problem(tmp_path):
    captions, problems = _read(tmp_path, "a.png", "b.png")
    assert captions == {}
    assert len(problems) == 1
    assert "none of its 2 pictures has a caption" in problems[0]
    assert f"`sdtune caption {shlex.quote(str(tmp_path))}` writes some." in problems[0]


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
def test_metadata_that_is_not_text_is_a_problem(tmp_path, name):
    (tmp_path / name).write_bytes(b"\xff\xfe\x00")
    _, problems = _read(tmp_path, "a.png")
    assert problems[0].startswith(f"{name}: cannot be read as UTF-8 text")
