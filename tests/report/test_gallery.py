from dataclasses import replace

import pytest

from sdtune.report.gallery import hard_and_easy, nearest_pairs, sliders, strips, tuned_name
from sdtune.report.run import read_run
from sdtune.run_folder.picture_losses import PictureLoss
from tests.report.run_folder import PROMPTS


@pytest.fixture(scope="module")
def run(whole_run):
    return read_run(whole_run)


def test_scored_pictures_stand_beside_the_bases(run):
    found = list(sliders(run))
    assert [(each.prompt, each.seed) for each in found] == [(prompt, 3) for prompt in PROMPTS]
    assert all(each.before != each.after for each in found)
    assert tuned_name(run) == "step 400"


def test_without_scores_the_grids_first_and_last_row_do(run):
    unscored = replace(run, evaluation=None)
    assert [each.prompt for each in sliders(unscored)] == PROMPTS
    assert tuned_name(unscored) == "step 400"
    assert list(sliders(replace(unscored, samples=None))) == []


def test_a_strip_begins_with_the_base_and_ends_with_the_last_step(run):
    found = list(strips(run))
    assert [each.prompt for each in found] == PROMPTS
    assert [[label for label, _ in each.tiles] for each in found] == [
        ["base", "step 200", "step 400"]
    ] * 2


def test_copies_come_first_and_a_lost_picture_is_none(run):
    copy, other = nearest_pairs(run)
    assert (copy.memorised, copy.name, copy.similarity) == (True, "gone.png", "0.60")
    assert copy.picture is None
    assert copy.sample is not None
    assert (other.memorised, other.name, other.prompt) == (False, "disc_1.png", PROMPTS[0])
    assert other.picture is not None


@pytest.mark.parametrize(("count", "hard", "easy"), [(4, 4, 0), (11, 8, 3), (40, 8, 8)])
def test_no_picture_is_hard_and_easy(run, count, hard, easy):
    losses = {f"{n}.png": PictureLoss(0.1, 2 - n / count, 50) for n in range(count)}
    first, last = hard_and_easy(replace(run, picture_losses=losses))
    assert (len(first), len(last)) == (hard, easy)
    assert not {each.name for each in first} & {each.name for each in last}
    assert first[0].name == "0.png"
    assert not last or last[0].name == f"{count - 1}.png"
