from pathlib import Path

from sdtune.data.buckets import DEFAULT_BUCKETS
from sdtune.data.pictures import Picture
from sdtune.data.survey import survey_pictures
from sdtune.data.survey_words import percent_kept, survey_lines


def pictures(*sizes):
    return [
        Picture(Path("photos", f"{n}.png"), f"{n}.png", f"thing {n}", size)
        for n, size in enumerate(sizes)
    ]


def lines(*sizes, most=None, **arguments):
    return survey_lines(survey_pictures(pictures(*sizes), 512, DEFAULT_BUCKETS, **arguments), most)


def test_one_bucket_is_one_line():
    assert lines(*[(890, 490)] * 122) == [
        "data: 122 pictures at 640x384; 92 % of the pixels are kept."
    ]


def test_few_buckets_are_listed_and_many_are_one_line():
    said = lines((890, 490), (512, 512))
    assert said == [
        "data: 2 pictures in 2 buckets; 96 % of the pixels are kept, the least 92 % (0.png).",
        "  512x512: 1 picture, 100 % of the pixels kept",
        "  640x384: 1 picture, 92 % of the pixels kept",
    ]
    assert lines(*DEFAULT_BUCKETS.around(512).sizes) == [
        "data: 17 pictures in 17 buckets; 100 % of the pixels are kept."
    ]


def test_lists_of_pictures_are_cut(monkeypatch, tmp_path):
    monkeypatch.setenv("SDTUNE_CACHE", str(tmp_path))
    small = [(100, 100)] * 30
    said = lines(*small)
    assert said[1].startswith("data: 30 pictures are smaller than what the model reads")
    assert len(said) == 1 + 1 + 21
    assert said[-1].startswith("  and 10 more: all 30 are in ")
    at_start = lines(*small, most=3)
    assert at_start[2:] == [
        *(f"  photos/{n}.png is 100x100 pixels and is enlarged to 512x512" for n in range(3)),
        "  and 27 more, see `sdtune check`",
    ]


def test_an_unbalanced_set_says_what_to_do():
    (said,) = [
        each for each in lines(*[(512, 512)] * 4, (890, 490), batch_size=4) if "full" in each
    ]
    assert "1 bucket has fewer samples than a batch of 4 (640x384: 1)" in said
    assert "`data.batch_size`" in said


def test_only_what_is_whole_is_100_per_cent():
    assert [percent_kept(share) for share in (1.0, 0.999, 0.917)] == ["100 %", "99 %", "92 %"]


def test_no_pictures_are_no_lines():
    assert lines() == []


def test_what_is_not_looked_for_is_told(monkeypatch):
    monkeypatch.setattr("sdtune.data.survey.DECODED_AT_MOST", 1)
    assert "those that only look alike are not looked for" in lines((512, 512), (512, 512))[1]
