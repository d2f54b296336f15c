import math
import re
import xml.etree.ElementTree as ET

import pytest

from sdtune.report.plots import Band, Line, draw_lines
from sdtune.run_folder.curves import Curve

LINE = Line(Curve("tuned & <bold>", [1, 2, 3], [0.5, math.nan, 0.2]))


def test_a_plot_takes_its_colours_from_the_page_and_refers_to_nothing_outside():
    other = Line(Curve("other", [1, 2], [0.1, 0.2]), colour=1)
    svg = draw_lines([LINE, other], alt="loss <over> steps", key="a")
    assert "var(--line-1)" in svg
    assert not re.search(r"#[0-9a-f]{6}\b", svg)
    assert "http" not in svg
    assert 'aria-label="loss &lt;over&gt; steps"' in svg
    assert "tuned &amp; &lt;bold&gt;" in svg


def test_ids_are_the_plots_own():
    ids = [
        set(re.findall(r' id="([^"]+)"', draw_lines([LINE], alt="", key=key))) for key in ("a", "b")
    ]
    assert ids[0]
    assert not ids[0] & ids[1]
    svg = draw_lines([LINE], alt="", key="a")
    used = set(re.findall(r"(?:url\(|href=\")#([^)\"]+)", svg))
    assert used <= ids[0]


@pytest.mark.parametrize("key", ["", "a b", '"><script>', "a\n", "1"])
def test_a_key_that_is_no_id_is_refused(key):
    with pytest.raises(ValueError, match="Expected `key` to be letters"):
        draw_lines([LINE], alt="", key=key)


def test_texts_stay_as_they_are_whatever_they_look_like():
    texts = [r"\1 \g<x> \g<0>", ' id="a" #010101 url(#x) href="#y"']
    lines = [Line(Curve(text, [1, 2], [0.1, 0.2])) for text in texts]
    svg = ET.fromstring(draw_lines(lines, alt=texts[0], key=r"a").replace("xlink:", ""))
    assert svg.get("aria-label") == texts[0]
    shown = {each.text for each in svg.iter("text")}
    assert {text.strip() for text in texts} <= {(text or "").strip() for text in shown}


def test_the_same_curves_give_the_same_bytes():
    band = Band("base", 0.3, 0.2, 0.4)
    line = Line(Curve("tuned", [1, 2], [0.5, 0.6]), errors=[(0.4, 0.6), (0.5, 0.7)])
    first, second = (draw_lines([line], alt="a", key="k", band=band) for _ in range(2))
    assert first == second
    ET.fromstring(first.replace("xlink:", ""))
    assert ">base</text>" in first
