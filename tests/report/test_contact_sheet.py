import base64
import io
import re
from dataclasses import replace

import pytest
from PIL import Image

from sdtune.data.buckets import DEFAULT_BUCKETS
from sdtune.data.pictures import Picture
from sdtune.data.survey import survey_class_pictures, survey_pictures
from sdtune.report.contact_sheet import make_tile, shown_positions, write_contact_sheet


@pytest.fixture
def survey(tmp_path):
    pictures = []
    for n, size in enumerate([(890, 490), (490, 890), (100, 100)]):
        path = tmp_path / f"{n}.png"
        Image.new("RGB", size, "teal").save(path)
        pictures.append(Picture(path, path.name, f"thing <{n}>", size))
    return survey_pictures(pictures, 512, DEFAULT_BUCKETS)


def test_the_page_holds_all_of_it(survey, tmp_path):
    page = write_contact_sheet(survey, tmp_path / "sheet.html").read_text(encoding="utf-8")
    assert len(re.findall(r'src="data:image/jpeg', page)) == 3
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    assert page.index("is 100x100 pixels and is enlarged to 512x512") < page.index("890x490")
    assert "thing &lt;0&gt;" in page
    assert "384x640" in page
    assert "92\N{NO-BREAK SPACE}%" in page


def test_a_tile_shows_the_whole_picture_and_frames_the_crop(survey):
    tile = make_tile(survey, 0, [])
    data = base64.b64decode(tile.source.partition(",")[2])
    assert Image.open(io.BytesIO(data)).size == (tile.width, tile.height) == (240, 132)
    cut = (1 - survey.kept[0]) / 2 * 100
    assert tile.frame == f"left: {cut:.2f}%; top: 0.00%; right: {cut:.2f}%; bottom: 0.00%"
    assert (tile.size, tile.bucket, tile.kept) == ("890x490", "640x384", "92 %")


def test_a_picture_that_is_gone_leaves_its_place(survey, tmp_path):
    (tmp_path / "0.png").unlink()
    assert make_tile(survey, 0, []).source == ""
    page = write_contact_sheet(survey, tmp_path / "sheet.html").read_text(encoding="utf-8")
    assert "is gone" in page


def test_class_pictures_stand_below_and_what_is_left_out_is_said(survey, tmp_path):
    beside = survey_class_pictures([survey.pictures], [{(512, 512): 1}], [], 512)
    both = replace(survey, of_class=beside)
    page = write_contact_sheet(both, tmp_path / "sheet.html", most=2).read_text(encoding="utf-8")
    assert len(re.findall(r'src="data:image/jpeg', page)) == 3
    assert "2 of 3, 1 are left out: those that there is something to know of come first" in page
    assert "1 of 3, 2 are left out: those shown are the first of 2 that there" not in page
    assert "1 of 3, 2 are left out: those shown are the first of 3 that there is" in page
    assert page.index("The pictures</h2>") < page.index("Class pictures</h2>")


def test_of_many_pictures_the_marked_ones_come_first():
    assert shown_positions(4, [2], 10) == [2, 0, 1, 3]
    shown = shown_positions(1000, [999, 5], 6)
    assert shown[:2] == [5, 999]
    assert len(set(shown)) == 6
    assert max(shown[2:]) > 700
    assert shown_positions(1000, range(500), 6) == [0, 1, 2, 3, 4, 5]
