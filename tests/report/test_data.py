from sdtune.data.survey import BucketFigures
from sdtune.data.survey_file import RecordedSurvey
from sdtune.report.data import bucket_table, data_sentence

BUCKETS = [BucketFigures((384, 640), 2, 2, 0.9), BucketFigures((512, 512), 1200, 2400, 1.0)]


def test_the_fullest_bucket_comes_first():
    rows = bucket_table(BUCKETS).rows
    assert rows == [["512x512", "1,200", "100 %"], ["384x640", "2", "90 %"]]


def test_what_there_is_to_know_is_counted():
    plain = RecordedSurvey(122, 0.9176, 0.9176, BUCKETS, {})
    assert data_sentence(plain) == "122 pictures; training sees 92 % of their pixels."
    marked = RecordedSurvey(1202, 0.99, 0.4, BUCKETS, {"caption": 3, "enlarged": 1})
    assert data_sentence(marked) == (
        "1,202 pictures; training sees 99 % of their pixels, and of one only 40 %. Among them: "
        "1 enlarged, 3 with captions that say nothing; `sdtune check` names them."
    )
    beside = RecordedSurvey(122, 0.9176, 0.9176, BUCKETS, {}, plain)
    assert data_sentence(beside) == f"{data_sentence(plain)} Class pictures: {data_sentence(plain)}"
