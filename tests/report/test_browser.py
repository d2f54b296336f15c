"""What only a browser can tell: nothing is complained about, sliders slide, pages fit."""

import re

import pytest

from sdtune.data.buckets import DEFAULT_BUCKETS
from sdtune.data.scan import scan_pictures
from sdtune.data.survey import survey_pictures
from sdtune.report.comparison import runs_table, write_comparison
from sdtune.report.contact_sheet import write_contact_sheet
from sdtune.report.run_report import write_report
from tests.page_checks import faint_texts, unnamed, unreached
from tests.report.browser import CHROMIUM, open_browser

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed"),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with open_browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture(scope="module")
def pages(whole_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    runs = [whole_run, whole_run]
    pictures, _ = scan_pictures(whole_run.parent / "pictures")
    survey = survey_pictures(pictures, 512, DEFAULT_BUCKETS)
    return {
        "run": write_report(whole_run, folder / "report.html"),
        "comparison": write_comparison("t", [runs_table(runs)], runs, folder / "comparison.html"),
        "contact_sheet": write_contact_sheet(survey, folder / "contact_sheet.html"),
        "empty": write_report(tmp_path_factory.mktemp("empty"), folder / "empty.html"),
    }


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1200, 400])
@pytest.mark.parametrize("name", ["run", "comparison", "contact_sheet", "empty"])
def test_a_page_loads_in_peace_and_fits(browser, pages, name, width, dark):
    browser.open(pages[name], width, dark)
    browser.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert browser.complaints() == []
    outside = [each for each in browser.requests() if not each.startswith("data:")]
    assert outside == [pages[name].as_uri()]
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    broken = "[...document.images].filter(each => !each.naturalWidth).length"
    assert browser.evaluate(broken) == 0
    assert (unnamed(browser), faint_texts(browser), unreached(browser)) == ([], [], [])
    background = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(23, 22, 20)" if dark else "rgb(251, 250, 247)")


def test_the_arrow_keys_uncover_the_base(browser, pages):
    browser.open(pages["run"], 1200)
    browser.evaluate("document.querySelector('#slider-1').focus()")
    assert shown_share(browser) == pytest.approx(0.5, abs=0.01)
    browser.press("ArrowRight")
    assert shown_share(browser) == pytest.approx(0.51, abs=0.01)
    browser.press("End")
    assert shown_share(browser) == 1.0
    assert browser.evaluate("document.activeElement.ariaValueText") == "100 % base"
    browser.press("Home")
    assert shown_share(browser) == 0.0
    label = "document.querySelector('#slider-1').labels[0].textContent"
    assert browser.evaluate(label) == '<erica> & co "at sea"'


def test_a_picture_is_pulled_and_the_others_stay(browser, pages):
    browser.open(pages["run"], 1200)
    box = "(({x, y, width, height}) => [x, y, width, height])"
    x, y, width, height = browser.evaluate(
        f"{box}(document.querySelector('.pair').getBoundingClientRect())"
    )
    browser.pull((x + 0.5 * width, y + 0.5 * height), (x + 0.25 * width, y + 0.5 * height))
    assert shown_share(browser) == pytest.approx(0.25, abs=0.02)
    assert browser.evaluate("document.querySelector('#slider-1').value") == "25"
    assert browser.evaluate("document.querySelector('#slider-2').value") == "50"


def shown_share(browser):
    """The share of the first pair's width over which the base's picture is seen."""
    inset = browser.evaluate("getComputedStyle(document.querySelector('.before')).clipPath")
    [covered] = re.findall(r"([0-9.]+)%", inset)  # of `inset(0px 50% 0px 0px)`
    return 1.0 - float(covered) / 100.0


def test_what_is_asked_of_every_page_is_missed_where_it_is_missing(browser, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(_LACKING)
    browser.open(page, 400)
    faint = [each.rpartition(": ")[2] for each in faint_texts(browser)]
    assert faint == ["grey", "half seen", "drawn"]
    assert [each[:8] for each in unnamed(browser)] == ["<input t"]
    assert [each[:13] for each in unreached(browser)] == ["<button tabin"]


_LACKING = """<!doctype html><title>t</title><body style="background: #fff">
<p>black</p><p style="color: #888">grey</p><p style="opacity: 0.4">half seen</p>
<svg><text y="20">ink</text><text y="40" fill="#999">drawn</text></svg>
<label><input> named</label> <input type="range"> <button tabindex="-1">by the mouse</button>"""
