from __future__ import annotations

import pytest
from PIL import Image

from sdtune.data.masked_scan import with_masks
from sdtune.data.scan import scan_folder
from sdtune.data.style import StyleDataModule
from sdtune.data.subject import SubjectDataModule


@pytest.fixture
def folder(make_folder):
    """Three pictures of 24 x 16, one of which has a mask of half its size."""
    folder = make_folder(3)
    Image.new("L", (12, 8), 255).save(folder / "00_mask.png")
    return folder


def test_masks_that_do_not_fit_are_problems(folder):
    found = scan_folder(folder)
    assert with_masks(found, 0.1, "error").problems == []
    assert with_masks(found, None, "error") is found
    Image.new("L", (16, 16)).save(folder / "00_mask.png")
    (folder / "01_mask.png").write_bytes(b"no picture")
    found = scan_folder(folder)
    assert with_masks(found, None, "error").problems == []
    problems = with_masks(found, 0.1, "error").problems
    assert str(problems[0]).startswith(
        f"{folder}/00_mask.png: is 16x16 pixels, another shape than its picture's 24x16"
    )
    assert str(problems[1]).startswith(f"{folder}/01_mask.png: does not open")
    skipped = with_masks(found, 0.1, "skip")
    assert (skipped.problems, skipped.left_out) == ([], problems)
    assert [each.name for each in skipped.pictures] == ["02.png"]


def test_two_masks_of_one_picture_are_a_problem_and_neither_is_a_sample(folder):
    (folder / "mask").mkdir()
    for name in ("01_mask.png", "mask/01.png", "mask/02_mask.png"):
        Image.new("L", (12, 8), 255).save(folder / name)
    found = scan_folder(folder)
    assert [each.name for each in found.pictures] == ["00.png", "01.png", "02.png"]
    assert found.pictures[2].mask == folder / "mask" / "02_mask.png"
    assert found.problems == []
    scan = with_masks(found, 0.1, "error")
    assert [str(each) for each in scan.problems] == [
        f"{folder}/01.png: has the masks 01_mask.png and mask/01.png; keep the one that is meant, "
        "and delete the other."
    ]
    skipped = with_masks(found, 0.1, "skip")
    assert [each.name for each in skipped.pictures] == ["00.png", "02.png"]


def test_masks_that_are_black_everywhere_are_told(folder):
    assert not any("black" in each for each in with_masks(scan_folder(folder), 0.0, "error").notes)
    for number in (1, 2):
        Image.new("L", (24, 16)).save(folder / f"{number:02}_mask.png")
    scan = with_masks(scan_folder(folder), 0.0, "error")
    assert scan.problems == []
    told = next(each for each in scan.notes if "black" in each)
    assert told.startswith(f"2 masks are black everywhere, such as {folder}/01_mask.png: ")


@pytest.mark.parametrize("kind", ["style", "subject"])
def test_a_module_says_what_masks_there_are_and_lists_bad_ones(folder, tmp_path, kind):
    def make(**arguments):
        shared = {"resolution": 64, "cache_dir": tmp_path, **arguments}
        if kind == "subject":
            return SubjectDataModule(folder, **shared)
        return StyleDataModule(folder, validation_count=1, **shared)

    module = make(unmasked_weight=0.1)
    assert module.problems() == []
    assert "1 of 3 pictures has a mask beside" in module.found()[-1]
    for dataset in (module.train_dataset, module.val_dataset):
        assert all("loss_weights" in dataset[index] for index in range(len(dataset)))
    Image.new("L", (16, 16), 255).save(folder / "00_mask.png")
    assert len(module.problems()) == 1
    assert make().problems() == []
    left = make(unmasked_weight=0.1, on_problem="skip")
    assert left.problems() == []
    assert len(left.left_out()) == 1
    with pytest.raises(ValueError, match=r"`unmasked_weight` to be in \[0, 1\], but got 2"):
        make(unmasked_weight=2.0)
