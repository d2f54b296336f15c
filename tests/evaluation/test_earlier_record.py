from dataclasses import replace

import pytest

from sdtune.evaluation.earlier_record import (
    check_base_of,
    check_idle,
    check_same,
    earlier_record,
)
from sdtune.run_folder.record import Choice
from sdtune.run_folder.run_process import note_process
from sdtune.run_folder.terms import LATER_SETTINGS
from tests.comparison.runs import make_evaluation

PAST = make_evaluation([1.0, 2.0, 3.0, 4.0])
RECIPE = """
trainer:
  callbacks:
  - class_path: sdtune.EvaluationCallback
    init_args: {goal: style, style_pictures: 8, max_clip_score_drop: 0.7, max_memorised_share: 1.0}
"""


def test_what_an_older_record_does_not_say_is_in_the_recipe(tmp_path):
    assert earlier_record(tmp_path) is None
    PAST.save(tmp_path / "evaluation.json")
    assert earlier_record(tmp_path) == PAST
    (tmp_path / "config.yaml").write_text(RECIPE)
    found = earlier_record(tmp_path)
    assert found.choice == Choice("style", 0.7, 1.0)
    assert found.protocol == replace(PAST.protocol, style_pictures=8)
    told = replace(PAST, choice=Choice("subject", 0.2, 0.25))
    told.save(tmp_path / "evaluation.json")
    assert earlier_record(tmp_path) == told


@pytest.mark.parametrize("name", LATER_SETTINGS)
def test_all_that_scores_hang_on_must_be_the_same(name, tmp_path):
    pictures, told = PAST.training_pictures, replace(PAST.protocol, **{name: 2})
    check_same(PAST, tmp_path, told, pictures)  # an older record does not say it
    past = replace(PAST, protocol=told)
    check_same(past, tmp_path, told, pictures)
    with pytest.raises(ValueError, match=f"not, see `{name}`: give another"):
        check_same(past, tmp_path, replace(told, **{name: 3}), pictures)


def test_other_pictures_and_another_base_are_refused(tmp_path):
    pictures = PAST.training_pictures
    with pytest.raises(ValueError, match="an older version held out of training is not recorded"):
        check_same(PAST, tmp_path, PAST.protocol, replace(pictures, sha256="other"))
    told = replace(PAST, training_pictures=replace(pictures, held_out=["a.png"]))
    with pytest.raises(ValueError, match="is of others: give another `output`"):
        check_same(told, tmp_path, PAST.protocol, replace(pictures, held_out=[]))
    check_base_of(PAST, tmp_path, "f00d")
    with pytest.raises(ValueError, match="of nano with other weights"):
        check_base_of(PAST, tmp_path, "other")


def test_a_run_that_is_training_is_refused(tmp_path, monkeypatch):
    check_idle(tmp_path)
    note_process(tmp_path)
    monkeypatch.setattr("sdtune.run_folder.run_process._has_open", lambda *_: True)
    with pytest.raises(ValueError, match=r"Expected no process to train in .*wait until it ends"):
        check_idle(tmp_path)
