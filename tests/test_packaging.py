"""What pyproject.toml asks of other packages, constraints.txt, and what a wheel holds."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import sdtune

ROOT = Path(__file__).parents[1]
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PROJECT = tomllib.loads(PYPROJECT)["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
REQUIREMENTS = [
    Requirement(line) for lines in (PROJECT["dependencies"], *EXTRAS.values()) for line in lines
]


def read_constraints() -> dict[str, Requirement]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    requirements = [Requirement(line) for line in lines if not line.startswith("#")]
    return {canonicalize_name(each.name): each for each in requirements}


def reason_above(line: int) -> bool:
    """Whether a comment stands right above a line of pyproject.toml."""
    return PYPROJECT.splitlines()[line - 1].strip().startswith("#")


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_every_range_has_a_floor(requirement):
    assert [each for each in requirement.specifier if each.operator == ">="]


def test_whatever_is_left_out_has_its_reason_above():
    silent = [
        text.strip()
        for number, text in enumerate(PYPROJECT.splitlines())
        if text.strip().startswith('"') and ("<" in text or "!=" in text)
        if not reason_above(number)
    ]
    assert silent == []


def test_one_package_has_one_range_wherever_it_is_asked_for():
    ranges: dict[str, set[str]] = {}
    for each in REQUIREMENTS:
        ranges.setdefault(canonicalize_name(each.name), set()).add(str(each.specifier))
    assert {name: found for name, found in ranges.items() if len(found) > 1} == {}


def test_every_constraint_is_one_release_for_any_machine():
    constraints = read_constraints()
    assert len(constraints) > 100
    for name, each in constraints.items():
        (specifier,) = each.specifier
        assert specifier.operator == "==", name
        assert Version(specifier.version).local is None, name
        assert each.marker is None, name
        assert each.url is None, name


def test_constraints_satisfy_every_range():
    constraints = read_constraints()
    outside = [
        f"{each} but {constraints[canonicalize_name(each.name)]}"
        for each in REQUIREMENTS
        if (found := constraints.get(canonicalize_name(each.name)))
        if not each.specifier.contains(next(iter(found.specifier)).version)
    ]
    assert outside == []


def test_constraints_hold_whatever_is_asked_for_by_what_was_run():
    asked = [*PROJECT["dependencies"], *EXTRAS["test"], *EXTRAS["dev"]]
    names = {canonicalize_name(Requirement(line).name) for line in asked}
    assert names - read_constraints().keys() == set()


def test_readme_names_the_constraints_as_the_way_out():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "pip install -e . -c constraints.txt" in readme


def builds_without_network() -> bool:
    (backend,) = map(Requirement, tomllib.loads(PYPROJECT)["build-system"]["requires"])
    try:
        return backend.specifier.contains(importlib.metadata.version(backend.name))
    except importlib.metadata.PackageNotFoundError:
        return False


def pip(*words: object, cwd: Path | None = None) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, *map(str, words)], check=True, capture_output=True, cwd=cwd)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A source archive of a copy of the checkout, and the wheel that is made of that archive."""
    pytest.importorskip("pip")
    folder = tmp_path_factory.mktemp("built")
    source = folder / "checkout"
    caches = shutil.ignore_patterns("__pycache__", "*.egg-info", "runs")
    for name in ("sdtune", "recipes", "datasets"):
        shutil.copytree(ROOT / name, source / name, ignore=caches)
    for path in ROOT.iterdir():
        if path.is_file() and path.name != ".git":
            shutil.copy(path, source)
    if not builds_without_network():
        pip("wheel", "--no-deps", "--wheel-dir", folder, source)
        return folder
    build("sdist", folder, source)
    archive = folder / f"sdtune-{sdtune.__version__}.tar.gz"
    shutil.unpack_archive(archive, folder / "unpacked")
    build("wheel", folder, folder / "unpacked" / f"sdtune-{sdtune.__version__}")
    return folder


def build(what: str, folder: Path, source: Path) -> None:
    """Build as pip does, in half of its time."""
    make = f"from setuptools import build_meta; build_meta.build_{what}({str(folder)!r})"
    subprocess.run([sys.executable, "-c", make], check=True, capture_output=True, cwd=source)


def wheel_of(folder: Path) -> Path:
    return folder / f"sdtune-{sdtune.__version__}-py3-none-any.whl"


@pytest.mark.slow
def test_a_wheel_holds_all_that_sdtune_reads(built):
    with zipfile.ZipFile(wheel_of(built)) as wheel:
        held = set(wheel.namelist())
    tracked = [path for path in (ROOT / "sdtune").rglob("*") if path.is_file()]
    wanted = {
        path.relative_to(ROOT).as_posix()
        for path in tracked
        if path.parent.name not in ("card", "__pycache__")  # card: shown by the model card alone
    }
    assert {f"sdtune/{name}" for name in ("py.typed", "report/templates/style.css")} <= wanted
    recipes = {
        path for each in ("", "sd14/", "sdxl/") for path in ROOT.glob(f"recipes/{each}*.yaml")
    }
    pictures = {path for path in ROOT.glob("datasets/*/*") if path.is_file()}
    assert len(recipes) == 16
    assert len(pictures) == 2 * 122 + 2 * 11 + 3
    shipped = {f"sdtune/shipped/{each.relative_to(ROOT).as_posix()}" for each in recipes | pictures}
    assert (wanted | shipped) - held == set()
    others = {each for each in held - wanted - shipped if ".dist-info/" not in each}
    assert not [each for each in others if not each.startswith("sdtune/nano/card/")]


@pytest.mark.slow
def test_a_wheel_has_at_most_32_megabytes(built):
    # 25 of them are nano's weights, and 4 the picture sets
    assert wheel_of(built).stat().st_size < 32_000_000


@pytest.mark.slow
def test_an_installed_wheel_has_its_recipes_and_pictures_away_from_the_checkout(built, tmp_path):
    """Before all other packages; .ci/run installs it in an empty environment, and trains."""
    site, here = tmp_path / "site", tmp_path / "here"
    here.mkdir()
    shutil.unpack_archive(wheel_of(built), site, "zip")

    def python_says(*words: str) -> str:
        environment = os.environ | {"PYTHONPATH": str(site)}
        command = [sys.executable, *words]
        return subprocess.check_output(command, cwd=here, env=environment, text=True)

    assert str(site) in python_says("-c", "import sdtune; print(sdtune.__file__)")
    assert "style_lora" in python_says("-m", "sdtune", "recipes")
    python_says("-m", "sdtune", "recipes", "copy", "style_lora", ".")
    recipe = yaml.safe_load((here / "style_lora.yaml").read_text(encoding="utf-8"))
    folder = recipe["data"]["init_args"]["folder"]
    find = "from sdtune.files.shipped_folder import shipped_datasets as find; print(find({!r}))"
    pictures = Path(python_says("-c", find.format(folder)).strip())
    assert pictures.is_relative_to(site)
    assert len(list(pictures.glob("*.png"))) == 122


def test_the_citation_names_this_version_and_licence():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == sdtune.__version__
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["license"] in PROJECT["license"].split(" AND ")
