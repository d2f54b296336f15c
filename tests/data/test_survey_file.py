from dataclasses import replace
from pathlib import Path

import pytest

from sdtune.data.buckets import DEFAULT_BUCKETS
from sdtune.data.pictures import Picture
from sdtune.data.survey import survey_class_pictures, survey_pictures
from sdtune.data.survey_file import SURVEY, read_survey, write_survey
from sdtune.files.json_file import JsonFileError


def test_figures_are_read_back(tmp_path):
    pictures = [Picture(Path("a.png"), "a.png", "a fox", (890, 490))]
    survey = survey_pictures(pictures, 512, DEFAULT_BUCKETS)
    assert write_survey(tmp_path, survey)
    recorded = read_survey(tmp_path)
    assert (recorded.pictures, recorded.kept) == (1, pytest.approx(survey.mean_kept, abs=1e-4))
    assert recorded.buckets[0].size == (640, 384)
    assert recorded.class_pictures is None
    beside = survey_class_pictures([pictures], [{(512, 512): 1}], [], 512)
    assert write_survey(tmp_path, replace(survey, of_class=beside))
    of_class = read_survey(tmp_path).class_pictures
    assert (of_class.pictures, of_class.buckets[0].size) == (1, (512, 512))
    assert of_class.counts == {"enlarged": 1}


def test_a_file_that_is_missing_or_damaged(tmp_path):
    assert read_survey(tmp_path) is None
    (tmp_path / SURVEY).write_text('{"version": 1, "pictures": "many"}')
    with pytest.raises(JsonFileError, match="pictures"):
        read_survey(tmp_path)
    (tmp_path / "file").write_text("")
    empty = survey_pictures([], 512, DEFAULT_BUCKETS)
    assert not write_survey(tmp_path / "file", empty)
