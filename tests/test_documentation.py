"""Documentation is true: links lead somewhere, options exist, and what can be run here runs."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout

import pytest
import yaml

from sdtune.cli import COMMANDS, lightning_main, main
from sdtune.commands.call import _SHORT
from sdtune.commands.recipe_cli import recipe_problems
from sdtune.metrics.registry import METRICS
from tests.documented import PAGES, ROOT, blocks, commands, is_own, prepare, shortened

NOT_RUN = {
    # first words of the block's title: why it is not run
    "README.md: pip install": "sets an environment up; .ci/run does it, as printed",
    "README.md: lightning run recipes/style_lora.yaml --data.folder": "needs Stable Diffusion 1.4",
    "README.md: sdtune evaluate": "needs Stable Diffusion 1.4 and an adapter for it",
    "README.md: sdtune generate": "opens a page and waits; tests/play draws through it",
    "README.md: sdtune inspect": "needs files of one's own; tests/adapters has every row",
    "CONTRIBUTING.md: pip install": "sets an environment up, and runs the tests",
    "docs/adapters.md: sdtune inspect": "needs files of one's own; tests/adapters has every row",
    "docs/bench.md:": "takes minutes to measure",
    "docs/captions.md: sdtune fit": "tests/data/test_caption_rules.py has the options",
    "docs/captions.md: sdtune caption": "needs captioners of the hub",
    "docs/checking_data.md:": "tests/commands/test_check.py runs these",
    "docs/coming_from_kohya.md:": "tests/commands/test_import_config.py runs these",
    "docs/comparing.md:": "tests/commands/test_compare.py compares so",
    "docs/generate.md:": "tests/commands/test_generate.py runs these",
    "docs/play.md:": "opens a page and waits; tests/play draws through it",
    "docs/reproducing.md:": "tests/commands/test_reproduce.py runs these",
    "docs/resuming.md:": "needs runs that were stopped; tests/callbacks resumes them",
    "docs/sdxl.md:": "needs Stable Diffusion XL",
    "docs/several_gpus.md:": "needs several GPUs, or starts several processes",
    "docs/watching.md: sdtune": "opens a page and waits; tests/watch looks at it",
    "docs/watching.md: ssh": "needs another machine",
    "docs/settings.md:": "takes an hour; tests/benchmarks/test_settings_page.py has its results",
    "docs/start.md: pip install": "sets an environment up; .ci/run does it",
    "docs/speed_and_memory.md: sdtune estimate recipes/sd": "test_estimate.py counts it",
    "docs/speed_and_memory.md: sdtune estimate recipes/sty": "tests/commands/test_timing.py times",
    "docs/speed_and_memory.md: lightning run recipes/sd": "needs Stable Diffusion 1.4 or XL",
    "docs/techniques/dreambooth.md:": "tests/test_own_photos.py trains so",
    "docs/techniques/textual_inversion.md:": "tests/test_own_photos.py trains so",
    "docs/techniques/pivotal_tuning.md: lightning": "tests/test_own_photos.py trains so",
    "docs/techniques/pivotal_tuning.md: sdtune": "tests/commands/test_compare.py compares so",
    "docs/techniques/multi_concept.md:": "tests/test_own_photos.py trains so",
    "docs/start.md: lightning run dreambooth": "tests/test_own_photos.py trains so",
    "docs/start.md: lightning run sd14": "needs Stable Diffusion 1.4",
}
_LINK = re.compile(r"!?\]\(([^)\s]+)\)")


def reason(title: str) -> str | None:
    return next((why for start, why in NOT_RUN.items() if title.startswith(start)), None)


RUN: dict[str, list] = {}
for _block in blocks():
    if reason(_block.title) is None:
        RUN.setdefault(_block.page, []).append(_block)


def test_each_reason_is_of_a_block_that_is_there():
    titles = [each.title for each in blocks()]
    unused = [start for start in NOT_RUN if not any(each.startswith(start) for each in titles)]
    there = [each for each in unused if (ROOT / each.partition(":")[0]).is_file()]
    assert there == []


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDTUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path


def says(words: list[str]) -> tuple[int, str]:
    """Run a command of sdtune here, and give its exit code and all that it prints."""
    printed = io.StringIO()
    call = main if words[0] == "sdtune" else lightning_main
    with redirect_stdout(printed), redirect_stderr(printed):
        try:
            code = call(words[1:])
        except SystemExit as stop:
            code = int(stop.code or 0)
    return code, printed.getvalue()


@pytest.mark.slow
def test_blocks_run_in_their_order(elsewhere):
    """In one folder, shortened as `shortened` says; what two pages say alike is run once."""
    done = []
    for block in [each for page in sorted(RUN, key=_order) for each in RUN[page]]:
        if block.language == "python":
            text = re.sub(r"max_steps=\d+", "max_steps=2", block.text)
            exec(compile(text, block.title, "exec"), {})
            continue
        for words in commands(block):
            assert is_own(words), f"{block.title}: give a reason for `{words[0]}`"
            if words in done:
                continue
            code, printed = says(shortened(words))
            assert code == 0, f"{block.page}: {' '.join(words)}\n{printed}"
            done.append(words)
    assert len(done) > 8


def _order(page: str) -> bool:
    return page != "docs/start.md"  # it makes the run that others draw with


def option_lines() -> list[list[str]]:
    own = [
        words
        for block in blocks()
        if block.language == "bash"
        for words in commands(block)
        if is_own(words) and len(words) > 1
    ]
    return [list(each) for each in dict.fromkeys(map(tuple, own))]


def is_fit(words: list[str]) -> bool:
    return words[0] == "lightning" or words[1] == "fit"


@pytest.mark.parametrize(
    "words", [each for each in option_lines() if not is_fit(each)], ids=" ".join
)
def test_every_option_of_a_command_exists(words):
    command, *rest = words[1:]
    assert command.startswith("--") or command in COMMANDS
    if command.startswith("--"):
        return
    asked = [command, *([rest[0]] if command in ("cache", "recipes") and rest else []), "--help"]
    known = says(["sdtune", *asked])[1]
    given = {word.partition("=")[0] for word in rest if word.startswith("--")}
    recipes = {each for each in given if "." in each or each in ("--seed", "--run", "--trust")}
    short = {f"--{each}" for each in _SHORT}
    options = set(re.findall(r"--\w+", known)) | short
    assert given - recipes - options == set()


@pytest.mark.parametrize("words", [each for each in option_lines() if is_fit(each)], ids=" ".join)
def test_every_key_of_a_recipe_exists(words, elsewhere):
    arguments = words[2:] if words[0] == "sdtune" else ["--config", *words[2:]]
    if not arguments or "--help" in arguments or any("RECIPE" in each for each in arguments):
        return
    wrong = [
        each
        for each in recipe_problems(arguments, build=False)
        if "--resume" not in each and "--run" not in each
    ]
    assert wrong == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file(path):
    links = [link for link in _LINK.findall(path.read_text(encoding="utf-8")) if ":" not in link]
    missing = [
        link
        for link in links
        if (name := link.partition("#")[0]) and not (path.parent / name).exists()
    ]
    assert missing == []


def test_the_site_has_every_page_and_links_to_none_outside():
    class Loader(yaml.SafeLoader):
        """Reads mkdocs.yml."""

    settings = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader)

    def files(part: object) -> list[str]:
        if isinstance(part, str):
            return [part]
        inside = part.values() if isinstance(part, dict) else part
        return [file for each in inside for file in files(each)]

    docs = ROOT / "docs"
    pages = {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")}
    assert set(files(settings["nav"])) == pages
    outside = [
        f"{page}: {link}"
        for page in pages
        for link in _LINK.findall((docs / page).read_text(encoding="utf-8"))
        if ":" not in link
        and (name := link.partition("#")[0])
        and not (docs / page).parent.joinpath(name).resolve().is_relative_to(docs)
    ]
    assert outside == []
    assert settings["theme"]["font"] is False


def test_the_table_of_scores_is_that_of_the_registry():
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    rows = [
        f"| {each.title} | {'higher' if each.higher_is_better else 'lower'} | {each.meaning} | "
        f"{each.limits} |"
        for each in METRICS.values()
        if each.name in SHIPPED_METRICS
    ]
    assert [row for row in rows if row not in text] == []
    assert len(rows) == 10


SHIPPED_METRICS = frozenset(METRICS)


def test_all_pictures_of_the_documentation_take_at_most_three_megabytes():
    kinds = (".jpg", ".png", ".webp")
    files = [path for path in (ROOT / "docs").rglob("*") if path.suffix in kinds]
    assert files
    assert sum(path.stat().st_size for path in files) < 3_000_000
    text = "".join(path.read_text(encoding="utf-8") for path in PAGES)
    assert [path.name for path in files if path.name not in text] == []


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built strictly: what leads nowhere is an error."""
    pytest.importorskip("material")
    pytest.importorskip("mkdocstrings_handlers.python")
    folder = tmp_path_factory.mktemp("built") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_the_site_asks_no_other_machine(site):
    asked = [
        f"{path.name}: {url}"
        for path in site.rglob("*.html")
        for url in re.findall(
            r"<(?:script|img|link|iframe)[^>]*?(?:src|href)=\"?(https?://[^\s\">]+)",
            path.read_text(encoding="utf-8"),
        )
    ]
    assert asked == []
    assert "LoRAStyleModule" in (site / "api.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_its_search_finds_words_from_a_folder(site):
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or pytest.skip("needs chromium")
    requests, errors = [], []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto((site / "index.html").as_uri())
        page.click("input[name=query]")
        page.keyboard.type("memorised")
        page.locator(".md-search-result__item").first.wait_for(state="attached", timeout=60_000)
        browser.close()
    assert errors == []
    assert [each for each in requests if not each.startswith(("file:", "data:"))] == []


def test_counted_sizes_are_the_same_in_table_recipe_and_page():
    pages = ROOT / "docs" / "techniques"
    row = re.compile(r"^\| `sdtune estimate sd14/(\w+)[^`]*` \| (\d+\.\d) GB \|$", re.MULTILINE)
    counted: dict[str, set[str]] = {}
    for recipe, size in row.findall((pages / "index.md").read_text(encoding="utf-8")):
        counted.setdefault(recipe, set()).add(size)
    assert set(counted) == {each.stem for each in pages.glob("*.md")} - {"index"}
    for recipe, sizes in counted.items():
        text = (ROOT / "recipes" / "sd14" / f"{recipe}.yaml").read_text(encoding="utf-8")
        header = text.partition("\nseed:")[0]
        assert set(re.findall(r"([\d.]+) GB", header)) == sizes, recipe
        page = (pages / f"{recipe}.md").read_text(encoding="utf-8")
        [cost] = re.findall(r"Stable Diffusion 1\.4 takes ([^:]*)", page)
        assert set(re.findall(r"([\d.]+) GB", cost)) <= sizes, recipe


def test_counted_sizes_of_xl_are_the_same_in_table_recipe_and_page():
    cells = r"^\| `(\w+)`[^|]*\|[^|]*\| ([\d.]+) GB \| ([\d.]+) GB \| ([\d.]+) GB \|$"
    page = (ROOT / "docs" / "sdxl.md").read_text(encoding="utf-8")
    rows = re.findall(cells, page, re.MULTILINE)
    assert {name for name, *_ in rows} == {
        path.stem for path in (ROOT / "recipes" / "sdxl").glob("*.yaml")
    }
    for name, training, without, samples in rows:
        text = (ROOT / "recipes" / "sdxl" / f"{name}.yaml").read_text(encoding="utf-8")
        header = " ".join(text.partition("\nseed:")[0].replace("\n#", " ").split())
        assert f"Training takes {training} GB of a GPU, or {without} GB with --model.grad" in header
        assert f"Samples take {samples} GB" in header
        technique = (ROOT / "docs" / "techniques" / f"{name}.md").read_text(encoding="utf-8")
        assert f"XL: {training} GB" in " ".join(technique.split()), name
