"""What becomes of each of many awkward files, from the scan to the batch."""

import os

import numpy as np
import pytest

from sdtune.data.decoding import read_picture
from sdtune.data.scan import scan_folder
from sdtune.data.style import StyleDataModule
from tests.data.awkward_files import AWKWARD, make_awkward_files

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")

OPEN = [each for each in AWKWARD if each.size is not None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("awkward") / "pictures"
    make_awkward_files(folder)
    return folder


@pytest.fixture(scope="module")
def scan(folder):
    return scan_folder(folder, cache_dir=folder.parent / "cache")


def test_they_are_sixty_and_more():
    assert len(AWKWARD) >= 60
    assert len({each.name for each in AWKWARD}) == len(AWKWARD)


@pytest.mark.parametrize("each", AWKWARD, ids=lambda each: ascii(each.name)[:40])
def test_each_is_read_refused_or_passed_over(each, folder, scan):
    found = {picture.name: picture for picture in scan.pictures}
    said = [
        problem.sentence for problem in scan.problems if problem.about == str(folder / each.name)
    ]
    if each.size is None:
        assert each.name not in found
        assert len(said) == (each.problem is not None)
        assert all(str(each.problem) in line for line in said)
        return
    assert said == []
    picture = found[each.name]
    assert picture.size == each.size
    assert picture.caption == f"what {each.name} shows"
    image = read_picture(picture.path)
    assert (image.mode, image.size) == ("RGB", each.size)
    assert np.abs(np.subtract(image.getpixel((0, 0)), each.pixel)).max() <= 12


def test_a_run_goes_on_without_the_bad_ones(folder, tmp_path):
    arguments = {"resolution": 64, "cache_dir": tmp_path / "cache", "batch_size": 4}
    problems = StyleDataModule(folder, **arguments).problems()
    data = StyleDataModule(folder, **arguments, on_problem="skip", num_workers=0)
    assert data.problems() == []
    assert sorted(data.left_out()) == sorted(problems)
    names = [name for batch in data.train_dataloader() for name in batch["name"]]
    assert sorted(names) == sorted(each.name for each in OPEN)
    (line,) = (each for each in data.found() if "neither pictures nor captions" in each)
    assert all(suffix in line for suffix in ("1 .mp4", "1 .psd", "1 .db"))
    survey = data.survey()
    assert sum(each.pictures for each in survey.buckets) == len(OPEN)
    assert {mark.kind for mark in survey.marks} == {"enlarged", "duplicate", "alike"}
