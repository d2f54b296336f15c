import os

import pytest
from PIL import Image

from sdtune.data.scan import scan_folder
from sdtune.data.sources.kohya import KohyaSource
from sdtune.data.subject import SubjectDataModule


def test_what_is_recognised(write):
    source = KohyaSource()
    assert source.recognise(str(write({"3_cat/0.png": 0}, "a"))).evidence == "the name of 3_cat"
    for number, files in enumerate(
        (
            {"3_cat/0.txt": "no picture"},
            {"0_cat/0.png": 0},
            {"cat_3/0.png": 0},
            {"2024/0.png": 0},
            {"3_cat/0.png": 0, "metadata.csv": "file_name,text"},
        )
    ):
        assert source.recognise(str(write(files, f"not_{number}"))) is None


def test_what_lies_deeper_or_beside_is_left_out_and_said(write):
    folder = write({"3_cat/0.png": 0, "3_cat/more/1.png": 1, "top.png": 2, "3_cat/note.psd": "x"})
    scan = scan_folder(folder)
    assert [each.name for each in scan.pictures] == ["3_cat/0.png"]
    (note,) = scan.notes
    assert note == (
        f"{folder}: 2 pictures do not lie in a folder `<repeats>_<name>` itself and are left out; "
        "`data.source: folder` reads all."
    )
    assert "1 files are neither" in scan.lines("data.folder")[2]


def test_problems_of_captions_pictures_and_folders(write):
    folder = write(
        {
            **{"3_cat/0.png": 0, "3_cat/0.txt": "one", "3_cat/0.caption": " "},
            **{"3_cat/gone.caption": "three", "2_dog/readme.txt": "x", "3_cat/bad.png": "x"},
        }
    )
    problems = [each.replace(f"{folder}/", "") for each in scan_folder(folder).problems]
    assert [each.split(": ")[0] for each in problems] == [
        *("3_cat/bad.png", "2_dog", "3_cat/gone.caption", "3_cat/0.caption"),
    ]
    assert problems[1].startswith("2_dog: holds no pictures")
    assert "the caption is empty" in problems[3]


def test_several_captions_of_a_picture(write):
    folder = write({"3_cat/0.png": 0, "3_cat/0.txt": "one\ntwo", "3_cat/0.caption": "three"})
    scan = scan_folder(folder)
    assert scan.pictures[0].captions == ("three", "one", "two")
    assert scan.notes == ["1 picture has several captions, of which each sample draws one."]


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links here")
def test_links_out_are_refused(write, tmp_path):
    folder = write({"3_cat/0.png": 0})
    Image.new("RGB", (8, 8)).save(tmp_path / "secret.png")
    (folder / "3_cat" / "1.png").symlink_to(tmp_path / "secret.png")
    (folder / "9_out").symlink_to(tmp_path)
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "secret").write_text("secret")
    (folder / "3_cat" / "0.txt").symlink_to(tmp_path / "texts" / "secret")
    scan = scan_folder(folder)
    assert [each.name for each in scan.pictures] == ["3_cat/0.png"]
    assert f"{folder}/3_cat/1.png: is a link out of the folder; copy the" in scan.problems[0]
    assert "it is a link out of the folder" in scan.problems[1]
    assert scan.problems[2:] == [
        f"{folder}/9_out: is a link out of the folder; name its folder as well."
    ]


def test_a_subject_with_regularisation_folders(write, tmp_path):
    write({"img/4_sks cat/0.png": 0, "img/2_sks cat lying/1.png": 1})
    here = write({f"reg/{times}_cat/{n}.png": 2 + n for times, n in ((2, 0), (6, 1))})
    data = SubjectDataModule(
        here / "img", class_dir=here / "reg", resolution=16, repeats=2, cache_dir=tmp_path / "cache"
    )
    assert data.problems() == []
    assert data.found() == [
        "data.instance_dir: kohya's folders, 2 subjects with repeats 4 and 2, 2 pictures",
        "data.class_dir: kohya's folders, 2 subjects with repeats 6 and 2, 2 pictures",
    ]
    data.make_class_pictures(lambda prompts, seeds: 1 / 0, "none are drawn")
    dataset = data.train_dataset
    assert len(dataset) == 2 * (4 + 2)
    shown = [dataset[0, index] for index in range(len(dataset))]
    # sorted by name: the one with fewer repeats comes first, and is missing in the later rounds
    assert [each["caption"] for each in shown] == ["sks cat lying", "sks cat"] * 4 + ["sks cat"] * 4
    beside = [each["class_name"] for each in shown]
    # 2 and 6 repeats are 1 and 3 of four
    assert sorted(beside[:4]) == ["2_cat/0.png", *["6_cat/1.png"] * 3]
    assert {each["class_caption"] for each in shown} == {"cat"}


def test_a_class_prompt_goes_before_the_names_of_folders(write, tmp_path):
    here = write({"img/4_sks cat/0.png": 0, "reg/1_cat/0.png": 1})
    data = SubjectDataModule(
        here / "img",
        instance_prompt="a photo of sks cat",
        class_dir=here / "reg",
        class_prompt="a photo of a cat",
        resolution=16,
    )
    data.make_class_pictures(lambda prompts, seeds: 1 / 0, "none are drawn")
    sample = data.train_dataset[0, 0]
    assert (sample["caption"], sample["class_caption"]) == (
        "a photo of sks cat",
        "a photo of a cat",
    )
    assert len(data.train_dataset) == 4
