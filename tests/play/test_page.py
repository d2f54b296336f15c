"""The page in a browser: it draws, takes settings over, and asks this machine alone."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from dataclasses import replace
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from sdtune.drawing.picture_settings import KEYWORD, read_settings, settings_text
from sdtune.play.environment import closed_environment
from sdtune.play.studio import Studio
from tests.page_checks import faint_texts, unnamed
from tests.play.browser_page import Watched
from tests.report.browser import CHROMIUM

sync_api = pytest.importorskip("playwright.sync_api")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed"),
    pytest.mark.skipif(find_spec("gradio") is None, reason="gradio is not installed"),
]
_PATIENCE = 60_000  # ms, where the cores are busy


class Served:
    """The page's address, what draws behind it, and where its files are."""

    def __init__(self, address: str, studio: Studio, folder: Path) -> None:
        self.address = address
        self.studio = studio
        self.folder = folder


@pytest.fixture(scope="module")
def served(drawer, offered, first, tmp_path_factory):
    folder = tmp_path_factory.mktemp("play")
    with closed_environment(folder):
        from sdtune.play.server import served as serve

        studio = Studio(drawer, offered, folder / "drawn")
        with serve(studio, replace(first, num_inference_steps=2), folder) as address:
            yield Served(address, studio, folder)


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def context(browser):
    """One for all, so that Gradio's scripts are fetched and read once."""
    found = browser.new_context(viewport={"width": 1200, "height": 1000}, color_scheme="light")
    yield found
    found.close()


def opened(context, served) -> Watched:
    page = context.new_page()
    page.set_default_timeout(_PATIENCE)
    watched = Watched(page)
    page.goto(served.address)
    page.wait_for_selector("#draw")
    return watched


def look_at(watched: Watched, served) -> None:
    """See what it complained of and asked for."""
    watched.page.wait_for_timeout(100)
    assert watched.complaints == []
    outside = [each for each in watched.requests if not each.startswith(served.address)]
    assert outside == []


@pytest.fixture
def page(context, served):
    """The page, opened anew."""
    watched = opened(context, served)
    yield watched.page
    look_at(watched, served)
    watched.page.close()


@pytest.fixture(scope="module")
def opened_once(context, served):
    return opened(context, served)


@pytest.fixture
def used_page(opened_once, served):
    """The same for the tests that take it as they find it: to open it takes two seconds."""
    yield opened_once.page
    look_at(opened_once, served)


def say(page, words: str) -> None:
    """Wait until the page says something."""
    sync_api.expect(page.locator("#status")).to_contain_text(words, timeout=_PATIENCE)


def draw(page, prompt: str, words: str = "Drew") -> None:
    page.get_by_label("Prompt", exact=True).fill(prompt)
    page.keyboard.press("Control+Enter")
    say(page, words)


def fill_new(page, label: str, words: str) -> None:
    """Fill a field that was shown just now: Gradio gives it its first value a moment later."""
    field = page.get_by_label(label, exact=True)
    for _ in range(20):
        field.fill(words)
        page.wait_for_timeout(200)
        if field.input_value() == words:
            return
    raise AssertionError(f"{label}: {field.input_value()}")


def shown(page) -> list[str]:
    """The files of the base's picture and the adapter's."""
    addresses = page.eval_on_selector_all("#pair img", "all => all.map(each => each.src)")
    return [each.partition("file=")[2] for each in addresses]


def test_it_draws_the_base_beside_the_adapter(page, served) -> None:
    draw(page, "a {subject} at sea", "Drew 2 pictures")
    page.wait_for_selector("#pair img")
    base, tuned = map(read_settings, map(Path, shown(page)))
    assert (base.prompt, base.adapters) == ("a cat at sea", [])
    assert tuned.prompt == "a <erica> at sea"
    assert [each.strength for each in tuned.adapters] == [1.0, 1.0]
    box = page.locator("#pair img").first.bounding_box()
    assert box["width"] > 200


def test_a_strength_that_is_moved_by_keys_is_drawn(page, served) -> None:
    draw(page, "a fish")
    before = len(served.studio.drawn)
    page.locator("input[type=range]").nth(1).focus()  # the divider comes first
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    say(page, "Drew 1 picture in")
    assert [each.settings.adapters[0].strength for each in served.studio.drawn[before:]] == [0.97]
    page.click("#draw")
    say(page, "Drawn before")


def test_the_divider_is_moved_by_keys(page) -> None:
    draw(page, "a boat")
    inset = "getComputedStyle(document.querySelectorAll('#pair img')[1]).clipPath"
    page.wait_for_selector("#pair img")
    before = page.evaluate(inset)
    page.locator("input[type=range]").first.focus()
    for _ in range(4):
        page.keyboard.press("PageUp")
    page.wait_for_function(f"{inset} !== {before!r}")


def test_settings_of_a_dropped_picture_are_taken_over(page, served, asked, tmp_path) -> None:
    pair = served.studio.pair(
        replace(
            asked,
            prompt="a dropped \U0001f422",
            negative_prompt="dark",
            seed=77,
            strengths=(0.4, 0.0),
            sampler="euler_a",
        )
    )
    several = [replace(pair.tuned, seed=each) for each in (76, 77)]
    drawn = list(served.studio.drawer.draw(several))[1]
    drawn.save(tmp_path / "dropped.png")
    page.set_input_files("#drop input[type=file]", tmp_path / "dropped.png")
    say(page, "Settings taken over.")
    assert page.get_by_label("Prompt", exact=True).input_value() == "a dropped \U0001f422"
    assert page.get_by_label("Seed", exact=True).input_value() == "77"
    page.click("#draw")
    say(page, "Drew")
    page.wait_for_selector("#pair img")
    assert np.array_equal(np.asarray(Image.open(shown(page)[1])), np.asarray(drawn.picture))
    assert not list(served.folder.rglob("dropped.png"))


def test_what_a_stranger_wrote_into_a_picture_is_text(used_page, first, tmp_path) -> None:
    page = used_page
    evil = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    adapter = replace(first.adapters[0], name=evil, sha256="0" * 64)
    settings = replace(first, prompt=evil, adapters=[adapter], seed=2**60)
    header = PngImagePlugin.PngInfo()
    header.add_text(KEYWORD, settings_text(settings))
    Image.new("RGB", (8, 8)).save(tmp_path / "evil.png", pnginfo=header)
    page.set_input_files("#drop input[type=file]", tmp_path / "evil.png")
    say(page, "is not in this page")
    assert page.get_by_label("Prompt", exact=True).input_value() == evil
    draw(page, evil)
    page.locator("#drawn img").first.click()
    sync_api.expect(page.locator("#settings textarea")).to_have_value(re.compile("<img src=x"))


def test_a_picture_without_settings_is_a_sentence(used_page, tmp_path) -> None:
    page = used_page
    for content in ("other", "none", "damaged"):
        path = tmp_path / f"{content}.png"
        header = PngImagePlugin.PngInfo()
        if content == "other":
            header.add_text("parameters", "a cat\nSteps: 20")
        Image.new("RGB", (8, 8)).save(path, pnginfo=header)
        if content == "damaged":
            path.write_bytes(path.read_bytes()[:20])
        page.set_input_files("#drop input[type=file]", path)
        say(page, f"Expected {content}.png to")


def test_what_is_wrong_is_a_sentence(used_page) -> None:
    page = used_page
    draw(page, " ", "Expected a prompt, but it is empty: write what to draw.")
    assert page.locator("#status [role=alert]").count() == 1
    draw(page, "a {thing}", "but got `{thing}`")


def test_drawing_is_stopped_and_goes_on(page) -> None:
    page.get_by_text("More settings").click()
    fill_new(page, "Steps", "1000")
    page.get_by_label("Prompt", exact=True).fill("a long one")
    page.keyboard.press("Control+Enter")
    page.get_by_text("/2k steps").wait_for()
    page.keyboard.press("Escape")
    say(page, "Stopped.")
    page.get_by_label("Steps", exact=True).fill("1")
    draw(page, "a short one")


def test_both_grids_are_drawn_and_their_pictures_kept(page, served) -> None:
    page.get_by_role("tab", name="Grid").click()
    before = len(served.studio.drawn)
    fill_new(page, "Strengths", "0.2, 0.6")
    page.get_by_label("Prompt", exact=True).fill("a grid")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#grid img")
    say(page, "Drew 4 pictures")
    first = page.get_attribute("#grid img", "src")
    page.get_by_label("prompt \N{MULTIPLICATION SIGN} seed").check()
    page.get_by_label("Prompts, one a line; without any, the one above").fill("a hat\n\na pen\n")
    page.get_by_label("Seeds", exact=True).fill("1 2 3")
    page.click("#draw-grid")
    say(page, "Drew 6 pictures")
    page.wait_for_function(f"document.querySelector('#grid img').src !== {first!r}")
    assert len(served.studio.drawn) == before + 10


def test_a_picture_of_the_gallery_gives_its_settings(page, served) -> None:
    draw(page, "the older one")
    draw(page, "the newer one")
    page.get_by_text(": the newer one").last.wait_for()
    page.locator("#drawn img").nth(2).click()  # its base stands between them
    settings = page.locator("#settings textarea")
    sync_api.expect(settings).to_have_value(re.compile("^the older one"))
    page.click("#reuse")
    say(page, "Settings taken over.")
    assert page.get_by_label("Prompt", exact=True).input_value() == "the older one"


def test_the_page_fits_and_everything_is_named_and_readable(page) -> None:
    draw(page, "a narrow one")
    page.get_by_text("More settings").click()
    for width, scheme in product((1200, 400), ("light", "dark")):
        page.set_viewport_size({"width": width, "height": 1000})
        page.emulate_media(color_scheme=scheme)
        for tab in ("Picture", "Grid"):
            page.get_by_role("tab", name=tab).click()
            page.wait_for_timeout(300)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert unnamed(page) == []
            assert faint_texts(page) == []
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == ("rgb(23, 22, 20)" if scheme == "dark" else "rgb(251, 250, 247)")


def test_everything_is_reached_by_the_tab_key(used_page) -> None:
    page = used_page
    page.wait_for_selector("#reuse")  # the last: a part whose script comes late is passed by
    page.get_by_label("Prompt", exact=True).focus()
    reached = set()
    focused = "(at => at.id || at.ariaLabel || at.textContent.trim() || at.type)"
    for _ in range(400):  # the drawn pictures stand between, and may come while we go
        reached.add(page.evaluate(f"{focused}(document.activeElement)"))
        page.keyboard.press("Tab")
        if "reuse" in reached:
            break
    for each in ("draw", "stop", "Picture", "New seed", "More settings", "reuse"):
        assert any(name.startswith(each) for name in reached), (each, reached)
    assert page.locator("input[type=range]").count() == 3


@pytest.mark.parametrize(
    "path",
    [
        "gradio_api/file=/etc/passwd",
        "gradio_api/file=ROOT/run",
        "gradio_api/file=https://example.org/a.png",
        "gradio_api/proxy=https://example.org/",
        "static/../../../../../../etc/passwd",
        "static/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "assets/..%2f..%2f..%2f..%2f..%2f..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
        "svelte/..%2f..%2f..%2f..%2f..%2f..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
    ],
)
def test_no_file_and_no_other_machine_is_reached_through_it(path, served, run) -> None:
    address = served.address + path.replace("ROOT/run", str(run / "config.yaml"))
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(address, timeout=60)
    assert caught.value.code in (403, 404)


def test_another_name_and_another_page_are_refused(served) -> None:
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(
                urllib.request.Request(served.address, headers=headers), timeout=60
            )
        assert caught.value.code == 403
    with urllib.request.urlopen(served.address, timeout=60) as answer:
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
