"""What pyproject.toml asks of other packages, constraints.txt, and what a wheel holds."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
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


@pytest.mark.slow
def test_a_wheel_holds_all_that_sdtune_reads_from_its_own_folder(tmp_path):
    pytest.importorskip("pip")
    source = tmp_path / "source"
    caches = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "sdtune", source / "sdtune", ignore=caches)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir"]
    if builds_without_network():
        command.insert(-1, "--no-build-isolation")
    subprocess.run([*command, tmp_path, source], check=True, capture_output=True)
    with zipfile.ZipFile(tmp_path / f"sdtune-{sdtune.__version__}-py3-none-any.whl") as wheel:
        held = set(wheel.namelist())
    wanted = {
        path.relative_to(source).as_posix()
        for path in (source / "sdtune").rglob("*")
        if path.is_file() and path.parent.name != "card"  # shown by the model card alone
    }
    assert {f"sdtune/{name}" for name in ("py.typed", "report/templates/style.css")} <= wanted
    assert wanted - held == set()
    assert not [name for name in held if name.startswith(("tests", "recipes"))]
