"""What a page shows of a run whose files change under it, and what it reads anew."""

import html
import json
import os
import re
import shutil

import psutil
import pytest
from filelock import FileLock
from markupsafe import Markup, escape
from torch.utils.tensorboard import SummaryWriter

from sdtune.report.plots import draw_lines
from sdtune.run_folder.run_process import note_process
from sdtune.watch import live_page
from sdtune.watch.live_page import LivePage
from tests.report.run_folder import TITLE, make_run_folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return make_run_folder(tmp_path_factory.mktemp("runs") / "style_lora" / "version_0")


@pytest.fixture
def run(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "runs" / "style_lora" / "version_0")


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Look anew at every call, however long the last look took; plots say how long they are."""
    monkeypatch.setattr("sdtune.report.run_plots.draw_lines", plot)
    monkeypatch.setattr(live_page, "_SECONDS_KEPT", -1.0)
    monkeypatch.setattr(live_page, "_SHARE", 1.0)


def plot(lines, **_):
    return Markup("<svg>{}</svg>").format(sum(len(each.curve.steps) for each in lines))


def test_a_finished_run_is_its_report(run):
    look = LivePage(run).look()
    assert look.title == "style_lora · sdtune"
    assert list(look.parts)[:3] == ["header", "now", "before-after"]
    assert {"figures", "samples", "curves", "facts"} <= set(look.parts)
    assert ">Finished</h2>" in look.parts["now"][1]
    # what lies outside of its folder is not read
    assert not {"nearest", "hard", "stop"} & set(look.parts)
    digests = {name: digest for name, (digest, _) in look.parts.items()}
    shown = re.search(r'<main data-parts="([^"]*)">', look.page)[1].replace("&#34;", '"')
    assert json.loads(shown.replace("&quot;", '"')) == digests


def test_texts_of_a_record_run_nothing(run, monkeypatch):
    monkeypatch.setattr("sdtune.report.run_plots.draw_lines", draw_lines)
    look = LivePage(run).look()
    assert look.page.count("<script>") == 2  # the page's own
    assert look.parts["figures"][1].count(str(escape(TITLE))) == 5
    record = run / "evaluation.json"
    key = json.dumps('x"></svg></section><script>alert(3)</script>')
    record.write_text(record.read_text().replace('"style_score"', key))
    look = LivePage(run).look()
    assert look.page.count("<script>") == 2
    assert "Expected the keys of `metrics`" in look.parts["header"][1]


def test_only_what_has_changed_is_drawn_anew(run, monkeypatch):
    page = LivePage(run.parent.parent)
    first = page.look()
    monkeypatch.setattr(live_page, "read_run", None)  # nothing but curves
    assert page.look() == first
    with SummaryWriter(str(run), filename_suffix=".more") as writer:
        writer.add_scalar("train/loss", 0.1, 500)
    second = page.look()
    changed = {name for name in first.parts if first.parts[name] != second.parts[name]}
    assert "curves" in changed
    assert changed <= {"header", "now", "curves", "facts"}


def test_half_written_files_are_told_and_never_break_it(run):
    page = LivePage(run)
    whole = page.look()
    events = next(run.glob("events.out.tfevents.*"))
    content = events.read_bytes()
    for length in (len(content) - 7, 13, 1, 0):
        events.write_bytes(content[:length])
        assert "facts" in page.look().parts
    events.write_bytes(content)
    record = (run / "evaluation.json").read_text()
    (run / "evaluation.json").write_text(record[:100])
    parts = page.look().parts
    assert "figures" not in parts
    assert "evaluation.json" in parts["header"][1]
    strip = run / "samples" / "rows" / "step_000400.png"
    picture = strip.read_bytes()
    strip.write_bytes(picture[:60])
    (run / "config.yaml").write_text("a: [")
    parts = page.look().parts
    assert "samples" not in parts
    assert "is not YAML" in parts["header"][1]
    shutil.rmtree(run)
    assert "No run yet" in page.look().title
    run.mkdir()
    (run / ".lock").touch()
    assert "now" in page.look().parts
    assert whole.parts["figures"][0]


def test_an_error_that_nobody_thought_of_leaves_a_page(run, monkeypatch):
    def fail(*_, **__):
        raise KeyError("x</header><script>")

    monkeypatch.setattr(live_page, "read_run", fail)
    page = LivePage(run)
    look = page.look()
    assert list(look.parts) == ["header"]
    assert "KeyError" in look.page
    assert "x</header>" not in look.page
    monkeypatch.undo()
    good = page.look()
    monkeypatch.setattr(LivePage, "_render", fail)
    assert page._look() == good  # for a while
    monkeypatch.setattr(live_page, "_SECONDS_STALE", 0.0)
    assert "KeyError" in page._look().page


def test_a_link_out_of_the_folder_is_not_followed(run, tmp_path):
    (tmp_path / "secret").write_text("a secret")
    (run / "config.yaml").unlink()
    (run / "config.yaml").symlink_to(tmp_path / "secret")
    look = LivePage(run).look()
    assert "a secret" not in look.page
    assert "config.yaml is a link that leads out of the run" in html.unescape(look.page)
    # all else is there
    assert {"before-after", "figures", "samples", "curves", "facts"} <= set(look.parts)


@pytest.mark.parametrize(
    ("name", "lacking"),
    [
        ("evaluation.json", {"best", "figures"}),
        ("evaluation", set()),
        ("samples", {"samples"}),
        ("samples/rows/step_000400.png", set()),
        ("adapter", {"use"}),
        ("events.out", {"curves"}),
    ],
)
def test_each_link_out_is_named_and_takes_its_own_part_alone(run, tmp_path, name, lacking):
    page = LivePage(run)
    before = page.look().parts
    path = next(run.glob("events.out*")) if name == "events.out" else run / name
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    parts = page.look().parts
    assert f"{path} is a link that leads out" in html.unescape(parts["header"][1])
    assert set(before) - set(parts) == lacking
    path.unlink()
    (tmp_path / "elsewhere").rename(path)
    assert set(page.look().parts) == set(before)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are POSIX's")
def test_pipes_are_named_and_never_opened(run):
    page = LivePage(run)
    whole = set(page.look().parts)
    names = ["events.out.tfevents.1.pipe", "adapter/unet.safetensors", "samples/rows/base.png"]
    names += ["config_2.yaml", "resumes.json", "picture_losses.json", "new.sock"]
    for name in names:
        (run / name).unlink(missing_ok=True)
        os.mkfifo(run / name)
    parts = page.look().parts
    for name in names:
        assert f"{run / name} is a named pipe and no file" in parts["header"][1]
    assert whole - set(parts) <= {"use"}


def test_a_damaged_event_file_is_told_with_its_step(run):
    with FileLock(run / ".lock"):
        note_process(run)
        page = LivePage(run)
        page.look()
        with SummaryWriter(str(run), filename_suffix=".more") as writer:
            for step in range(500, 600, 10):
                writer.add_scalar("train/loss", 0.1, step)
        [written] = run.glob("*.more")
        events = written.rename(run / "events.out.tfevents.9999999999.host")
        content = events.read_bytes()
        events.write_bytes(content[:-7])  # as a process leaves it that is about to write the rest
        assert "can be read only" not in page.look().page
        events.write_bytes(content[:-60] + b"damage" + content[-54:])
        said = f"{events} can be read only up to step 570: it is damaged at byte"
        assert said in page.look().parts["header"][1]
        events.write_bytes(content)
        assert "can be read only" not in page.look().page


def test_a_stop_is_of_the_run_that_the_page_showed_and_is_sent_once(run, monkeypatch):
    stopped = []
    monkeypatch.setattr(psutil.Process, "terminate", lambda self: stopped.append(self.pid))
    page = LivePage(run)
    assert page.stop("") is None
    with FileLock(run / ".lock"):
        note_process(run)
        parts = page.look().parts
        assert ">Training: step 400 of 400</h2>" in parts["now"][1]
        assert list(parts)[1:4] == ["now", "stop", "curves"]
        token = re.search(r'data-token="(\w+)"', parts["stop"][1])[1]
        other = LivePage(run)
        other.look()
        assert other.stop(token) is None  # a page that another server sent
        assert page.stop(token[:-1]) is None
        assert stopped == []
        assert page.stop(token).startswith("It is asked to stop")
        assert page.stop(token) == "It was asked to stop already."
        assert other.stop(token) is None
        assert stopped == [os.getpid()]
        parts = page.look().parts
        assert "stop" not in parts
        assert "Stopping after this step" in parts["now"][1]


def test_drawing_takes_a_tenth_of_the_time(run, monkeypatch):
    clock = iter([0.0, 10.0, 99.0, 101.0, 102.0])
    monkeypatch.setattr(live_page, "_SHARE", 0.1)
    page = LivePage(run)
    monkeypatch.setattr(live_page.time, "monotonic", lambda: next(clock))
    first = page._read(run)  # took 10 s: 90 s pass until the next
    with SummaryWriter(str(run), filename_suffix=".more") as writer:
        writer.add_scalar("train/loss", 0.1, 500)
    page._shown = first
    assert page._read(run) is first
    assert page._read(run).run.last_step == 500
