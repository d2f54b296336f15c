"""Imports point downward only: the rooms of the package and what each may import."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sdtune"

ARROWS: dict[str, set[str]] = {
    "functional": set(),
    "files": set(),
    "models": {"functional"},
    "adapters": {"models", "functional", "files"},
    "metrics": {"functional"},
    "data": {"functional", "files"},
    "nano": {"models", "functional"},
    "techniques": {"adapters", "models", "functional"},
    "run_folder": {"files"},
    "evaluation": {
        "run_folder",
        "data",
        "metrics",
        "adapters",
        "models",
        "functional",
        "files",
        "sdtune",
    },
    "callbacks": {"evaluation", "run_folder", "metrics", "adapters", "models", "files"},
    "report": {
        "evaluation",
        "run_folder",
        "metrics",
        "data",
        "adapters",
        "models",
        "files",
        "sdtune",
    },
    "comparison": {"report", "evaluation", "run_folder", "metrics", "files", "sdtune"},
    "commands": {
        "comparison",
        "report",
        "evaluation",
        "callbacks",
        "run_folder",
        "metrics",
        "adapters",
        "models",
        "nano",
        "files",
        "sdtune",
    },
    "cli": {"commands", "sdtune"},
    "__main__": {"cli"},
    "__init__": set(),
    "_checks": set(),
    "_imports": set(),
}
"""What a room may import; `_checks` and `_imports` are open to all.

`sdtune` is the package's public names.
"""


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_modules(path: Path) -> Iterator[str]:
    """Yield the dotted name of everything that a file imports, outside TYPE_CHECKING or inside."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for module in imported_modules(path):
        package, _, below = module.partition(".")
        if package == "sdtune":
            room = below.split(".")[0]
            is_room = (PACKAGE / room).is_dir() or (PACKAGE / f"{room}.py").is_file()
            rooms.add(room if room and is_room else "sdtune")
    return rooms


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downward(path):
    room = room_of(path)
    assert room in ARROWS, f"add the room {room} and what it may import"
    if room == "__init__":
        return  # imports nothing until a name is asked for; see test_import.py
    allowed = ARROWS[room] | {room, "_checks", "_imports"}
    assert imported_rooms(path) <= allowed


def test_arrows_form_no_circle():
    remaining = {room: set(below) for room, below in ARROWS.items()}
    while remaining:
        leaves = {room for room, below in remaining.items() if not below & set(remaining)}
        assert leaves, f"a circle among {sorted(remaining)}"
        remaining = {room: below for room, below in remaining.items() if room not in leaves}


def test_functional_needs_torch_alone():
    import sys

    outside = {
        module.split(".")[0]
        for path in (PACKAGE / "functional").rglob("*.py")
        for module in imported_modules(path)
    }
    assert outside - set(sys.stdlib_module_names) <= {"torch", "sdtune"}


@pytest.mark.parametrize("folder", ["recipes", "datasets"])
def test_recipes_and_datasets_hold_no_code(folder):
    assert not list((ROOT / folder).rglob("*.py"))


def test_nothing_imports_the_tests():
    for path in sources():
        assert not [name for name in imported_modules(path) if name.split(".")[0] == "tests"]
