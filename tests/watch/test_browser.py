"""What only a browser can tell: parts change in place, nothing jumps, the button stops a run."""

import json
import shutil
import signal
import subprocess
import sys

import pytest
from torch.utils.tensorboard import SummaryWriter

from sdtune.watch import live_page
from sdtune.watch.live_page import LivePage
from sdtune.watch.server import served
from tests.page_checks import faint_texts, unnamed, unreached
from tests.report.browser import CHROMIUM, open_browser
from tests.report.run_folder import make_run_folder
from tests.run_folder.test_run_process import TRAINER

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed"),
]

_OPEN = "document.querySelectorAll('details').forEach(each => each.open = true)"
_LOOK = """new Promise(done => {
  document.dispatchEvent(new Event('visibilitychange'));
  const begin = Date.now();
  (function wait() { %s || Date.now() - begin > 15000 ? done() : setTimeout(wait, 50) })();
})"""


def look(browser, until):
    """Let the page look at once, and wait until something is there."""
    browser.evaluate(_LOOK % until)
    assert browser.evaluate(until)


def test_a_run_is_watched_and_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(live_page, "_SECONDS_KEPT", -1.0)
    monkeypatch.setattr(live_page, "_SHARE", 1.0)
    run = make_run_folder(tmp_path / "runs" / "style_lora" / "version_0")
    record = json.loads((run / "evaluation.json").read_text())
    (run / "evaluation.json").write_text(json.dumps(record | {"finished": False}))
    strip = run / "samples" / "rows" / "step_000400.png"
    later = shutil.move(strip, tmp_path / "later.png")
    trainer = subprocess.Popen(
        [sys.executable, "-c", TRAINER, str(run)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    page = LivePage(tmp_path / "runs")
    with trainer, served(page) as address, open_browser(tmp_path / "profile") as browser:
        assert trainer.stdout.readline() == b"trains\n"
        browser.open(address, 400, dark=True)
        heading = "document.querySelector('#now').textContent"
        assert browser.evaluate(heading) == "Training: step 400 of 400"
        assert browser.evaluate("document.documentElement.scrollWidth") <= 400
        background = "getComputedStyle(document.body).backgroundColor"
        assert browser.evaluate(background) == "rgb(23, 22, 20)"

        for dark in (False, True):
            browser.open(address, 400, dark)
            browser.evaluate(_OPEN)
            assert (unnamed(browser), faint_texts(browser), unreached(browser)) == ([], [], [])
        browser.open(address, 400, dark=True)

        # something is chosen, opened and focused below what is going to grow
        browser.evaluate("document.querySelector('#slider-2').focus()")
        browser.press("End")
        browser.evaluate("document.querySelector('#facts ~ details').open = true")
        browser.evaluate("scrollTo({top: 1e6, behavior: 'instant'})")
        place = "document.querySelector('#facts').getBoundingClientRect().top"
        before = browser.evaluate(place)
        height = browser.evaluate("document.body.scrollHeight")
        shutil.move(later, strip)
        with SummaryWriter(str(run), filename_suffix=".more") as writer:
            writer.add_scalar("train/loss", 0.1, 500)
        look(browser, f"{heading} === 'Training: step 500 of 400'")
        assert browser.evaluate("document.querySelectorAll('.strip img').length") == 6
        assert browser.evaluate("document.body.scrollHeight") >= height
        assert browser.evaluate(place) == pytest.approx(before, abs=1)
        assert browser.evaluate("document.querySelector('#slider-2').value") == "100"
        assert browser.evaluate("document.activeElement.id") == "slider-2"
        assert browser.evaluate("document.querySelector('#facts ~ details').open")

        browser.evaluate("document.querySelector('#stop').click()")
        look(browser, "document.querySelector('.stop details').open")
        browser.evaluate("document.querySelector('button').click()")
        assert trainer.wait(20) == -signal.SIGTERM
        look(browser, f"{heading}.startsWith('Not training')")
        assert not browser.evaluate("document.querySelector('button') !== null")
        said = browser.evaluate("document.querySelector('main').parentElement.innerText")
        assert "not finished" not in said  # its heading says so
        assert browser.complaints() == []
        asked = {each for each in browser.requests() if not each.startswith("data:")}
        assert all(each.startswith(address) for each in asked)
