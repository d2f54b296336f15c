import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markupsafe import escape

from sdtune.data.buckets import DEFAULT_BUCKETS
from sdtune.data.pictures import Picture
from sdtune.data.survey import survey_pictures
from sdtune.data.survey_file import write_survey
from sdtune.report.run_report import write_report
from tests.report.run_folder import TITLE


class Reader(HTMLParser):
    """Collects ids, visible text and whatever a page could ask for."""

    def __init__(self):
        super().__init__()
        self.ids, self.addresses, self.tags, self.text = [], [], [], ""

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.text += " " * (tag == "br")
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            elif name in ("src", "href", "srcset", "poster", "data", "action", "xlink:href"):
                self.addresses.append(value)

    def handle_data(self, data):
        self.text += data


def read(path):
    reader = Reader()
    page = path.read_text(encoding="utf-8")
    reader.feed(page)
    reader.text = " ".join(reader.text.split())
    return page, reader


@pytest.fixture(scope="module")
def report(whole_run, tmp_path_factory):
    return write_report(whole_run, tmp_path_factory.mktemp("report") / "report.html")


def test_the_page_tells_the_run(report):
    _, page = read(report)
    for part in (
        "LoRAStyleModule on CompVis/stable-diffusion-v1-4 with 4 pictures, 400 steps.",
        "Best checkpoint: step 400",
        "Step 400. Its style score is 0.62.",
        "The rule: The highest style score.",
        "no difference seen",
        "It does not say whether a picture shows what was asked for.",
        "pipeline.load_lora_weights(",
        "1 of the 2 samples is nearer to a training picture",
        "may be a copy",
        "4 pictures; training sees 100 % of their pixels. Among them: 4 enlarged",
        "Each picture was trained on about 11 times, which is few",
        "disc_0.png 1.50",
        "ab" * 32,
        "cd" * 32,
        "41 s, 12 % of the run: 33 s to draw, 8 s to score",
        "sdtune 0.1.0, torch 2.13.0",
    ):
        assert part in page.text, part
    assert page.text.index("gone.png") < page.text.index("disc_1.png")  # the copy comes first
    assert "not finished" not in page.text
    assert "None" not in page.text
    assert page.tags.count("input") == 2
    assert page.tags.count("svg") == 2 + 3  # loss and rate; a plot for each metric


def test_prompts_are_text_whatever_they_say(report):
    page, reader = read(report)
    assert '<erica> & co "at sea"' in reader.text
    assert "<erica>" not in page
    assert reader.tags.count("script") == 1
    assert reader.text.count(TITLE) == 4  # figures, their meanings, all checkpoints and a plot
    assert page.count(f'aria-label="{escape(TITLE)} over steps') == 1


def test_a_record_with_keys_of_no_metric_is_told_and_runs_nothing(whole_run, tmp_path):
    run = shutil.copytree(whole_run, tmp_path / "run")
    text = (run / "evaluation.json").read_text(encoding="utf-8")
    key = json.dumps('x"></svg><script>alert(3)</script>')
    (run / "evaluation.json").write_text(text.replace('"style_score"', key), encoding="utf-8")
    _, reader = read(write_report(run))
    assert "Expected the keys of `metrics` to be small letters, digits and `_`" in reader.text
    assert "alert(3)" in reader.text
    assert reader.tags.count("script") == 1


def test_nothing_in_the_page_refers_to_the_outside(report):
    page, reader = read(report)
    assert all(each.startswith(("data:", "#")) for each in reader.addresses)
    assert len(reader.addresses) > 10
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)
    assert len(set(reader.ids)) == len(reader.ids)
    assert len(page) < 3e6


def test_the_same_run_gives_the_same_bytes(report, whole_run, tmp_path):
    again = write_report(whole_run, tmp_path / "again.html")
    assert again.read_bytes() == report.read_bytes()


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (["evaluation.json"], "Nothing was scored in this run"),
        (["evaluation.json", "adapter"], "not finished: it got to step 400 of 400"),
        (["evaluation", "samples", "adapter", "picture_losses.json"], "Best checkpoint"),
        (["config.yaml"], "Best checkpoint"),
    ],
)
def test_what_is_missing_is_left_out(whole_run, tmp_path, missing, said):
    folder = shutil.copytree(whole_run, tmp_path / "mine" / "version_1")
    for name in missing:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    _, page = read(write_report(folder))
    assert said in page.text
    assert ("Before and after" in page.text) == ("samples" not in missing)


def test_an_empty_folder_has_a_page_too(tmp_path):
    _, page = read(write_report(tmp_path))
    assert "This run is not finished: it got to step 0, and" in page.text
    assert "h1" in page.tags


@pytest.mark.slow
def test_the_contact_sheet_is_linked_where_there_is_one(whole_run, tmp_path):
    run = tmp_path / "a run"
    shutil.copytree(whole_run, run)
    pictures = [Picture(Path("a.png"), "a.png", "a fox", (890, 490))]
    write_survey(run, survey_pictures(pictures, 512, DEFAULT_BUCKETS))
    assert "./contact_sheet.html" not in read(write_report(run))[1].addresses
    (run / "contact_sheet.html").write_text("")
    assert "./contact_sheet.html" in read(write_report(run))[1].addresses
    elsewhere = read(write_report(run, tmp_path / "page.html"))[1].addresses
    assert "./a%20run/contact_sheet.html" in elsewhere


def test_an_event_file_that_cannot_be_read_to_its_end_is_told(whole_run, tmp_path):
    run = shutil.copytree(whole_run, tmp_path / "run")
    events = next(run.glob("events.out.*"))
    events.write_bytes(events.read_bytes()[:-9])
    _, page = read(write_report(run))
    assert f"{events} can be read only up to step" in page.text
