"""Imports point downward only, between rooms and between files."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sdtune"

ARROWS: dict[str, set[str]] = {
    "functional": set(),
    "files": set(),
    "models": {"functional", "files"},
    "adapters": {"models", "functional", "files"},
    "metrics": {"functional", "files"},
    "data": {"captioning", "functional", "files"},
    "nano": {"models", "functional"},
    "techniques": {"adapters", "models", "functional", "files"},
    "estimation": {"techniques", "models", "functional"},
    "run_folder": {"files"},
    "captioning": {"metrics", "nano", "files"},
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
    "importing": {"data", "files"},
    "drawing": {"run_folder", "adapters", "models", "functional", "files"},
    "play": {"drawing", "evaluation", "run_folder", "models", "files"},
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
    "watch": {"report", "run_folder", "files"},
    "comparison": {
        "report",
        "evaluation",
        "run_folder",
        "metrics",
        "data",
        "adapters",
        "models",
        "files",
        "sdtune",
    },
    "bench": {
        "callbacks",
        "data",
        "techniques",
        "adapters",
        "models",
        "functional",
        "files",
        "sdtune",
    },
    "commands": {
        "bench",
        "estimation",
        "captioning",
        "data",
        "comparison",
        "report",
        "evaluation",
        "play",
        "watch",
        "drawing",
        "importing",
        "callbacks",
        "run_folder",
        "metrics",
        "adapters",
        "models",
        "nano",
        "files",
        "sdtune",
    },
    "cli": {"commands", "files", "sdtune"},
    "__main__": {"cli"},
    "__init__": set(),
    "_arguments": set(),
    "_checks": set(),
    "_imports": set(),
    "_prompt_fields": set(),
    "_resumed_checkpoint": set(),
    "_run_steps": set(),
    "_samples": set(),
    "_wording": set(),
}
"""What a room may import; `OPEN_TO_ALL` are besides.

`sdtune` is the package's public names.
"""

OPEN_TO_ALL = {
    "_arguments",
    "_checks",
    "_imports",
    "_prompt_fields",
    "_resumed_checkpoint",
    "_run_steps",
    "_samples",
    "_wording",
}

CIRCLES_ALLOWED: dict[tuple[str, str], str] = {
    ("sdtune", "*"): "the public names, for type checkers; imported when they are asked for",
}
"""Importing file and imported one -> why this arrow is left out when circles are looked for."""

INSIDE_FUNCTIONS: dict[tuple[str, str], str] = {
    ("sdtune.commands.bench", "*"): "torch would make `sdtune bench --help` slow",
    ("sdtune.commands.cache", "*"): "torch would make `sdtune cache --help` slow",
    ("sdtune.commands.caption", "*"): "torch would make `sdtune caption --help` slow",
    ("sdtune.commands.check", "*"): "torch would make `sdtune check --help` slow",
    ("sdtune.commands.compare", "*"): "torch would make `sdtune compare --help` slow",
    ("sdtune.commands.convert", "*"): "torch would make `sdtune convert --help` slow",
    ("sdtune.commands.evaluate", "*"): "torch would make `sdtune evaluate --help` slow",
    ("sdtune.commands.extract", "*"): "torch would make `sdtune extract --help` slow",
    ("sdtune.commands.estimate", "*"): "torch would make `sdtune estimate --help` slow",
    ("sdtune.commands.generate", "*"): "torch would make `sdtune generate --help` slow",
    ("sdtune.commands.inspect", "*"): "torch would make `sdtune inspect --help` slow",
    ("sdtune.commands.merge", "*"): "torch and diffusers would make `sdtune merge --help` slow",
    ("sdtune.commands.play", "*"): "torch would make `sdtune play --help` slow",
    ("sdtune.commands.reproduce", "*"): "torch would make `sdtune reproduce --help` slow",
    ("sdtune.commands.resize", "*"): "torch would make `sdtune resize --help` slow",
    ("sdtune.commands.publish", "*"): "matplotlib would make `sdtune publish --help` slow",
    ("sdtune.commands.report", "*"): "matplotlib would make `sdtune report --help` slow",
    ("sdtune.commands.watch", "*"): "matplotlib would make `sdtune watch --help` slow",
    ("sdtune.commands.starting", "*"): "what is imported is timed",
    ("sdtune.commands.timing", "*"): "the process that asks for it has no need of torch",
    ("sdtune.importing.kohya_data_keys", "*"): "torch is needed for settings of a subject alone",
    ("sdtune.nano.making.commands", "*"): "each step of the making needs other optional packages",
    ("sdtune.techniques.optimization.optimizers", "*"): "an optimizer's package may be missing",
    ("sdtune.models.stable_diffusion", "sdtune.models.noise_schedulers"): "to be mended in models",
}
"""Importing file and imported one -> why the import stands inside a function."""


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


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_files(path: Path, modules: set[str], *, inside_functions: bool = False) -> set[str]:
    """List the modules of the package that a file imports, under TYPE_CHECKING too.

    Args:
        path: The file.
        modules: Names of all files of the package.
        inside_functions: Only those that are imported inside functions.
    """
    tree: ast.AST = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree))
    if inside_functions:
        functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
        nodes = [each for n in nodes if isinstance(n, functions) for each in ast.walk(n)]
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & modules
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                found |= {name if name in modules else str(node.module)} & modules
    return found - {module_of(path)}


def is_excused(importer: str, imported: str, reasons: dict[tuple[str, str], str]) -> bool:
    return (importer, imported) in reasons or (importer, "*") in reasons


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """List the groups of files that import each other, directly or not."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            new = arrows.get(waiting.pop(), set()) - seen
            seen |= new
            waiting += new
        return seen

    below = {name: reached(name) for name in arrows}
    groups = {frozenset(b for b in below[a] if a in below[b]) for a in arrows if a in below[a]}
    return sorted(sorted(group) for group in groups)


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for module in imported_modules(path):
        package, _, below = module.partition(".")
        if package == "sdtune":
            room = below.split(".")[0]
            is_room = (PACKAGE / room).is_dir() or (PACKAGE / f"{room}.py").is_file()
            rooms.add(room if room and is_room else "sdtune")
    return rooms


def test_imports_point_downward():
    upward = {}
    for path in sources():
        room = room_of(path)
        assert room in ARROWS, f"add the room {room} and what it may import"
        if room == "__init__":
            continue  # imports nothing until a name is asked for; see test_import.py
        rooms = imported_rooms(path) - ARROWS[room] - {room, *OPEN_TO_ALL}
        if rooms:
            upward[str(path.relative_to(PACKAGE))] = sorted(rooms)
    assert upward == {}


def test_arrows_form_no_circle():
    remaining = {room: set(below) for room, below in ARROWS.items()}
    while remaining:
        leaves = {room for room, below in remaining.items() if not below & set(remaining)}
        assert leaves, f"a circle among {sorted(remaining)}"
        remaining = {room: below for room, below in remaining.items() if room not in leaves}


def test_files_form_no_circle():
    modules = {module_of(path) for path in sources()}
    arrows = {
        module_of(path): {
            each
            for each in imported_files(path, modules)
            if not is_excused(module_of(path), each, CIRCLES_ALLOWED)
        }
        for path in sources()
    }
    assert circles(arrows) == []


def test_a_circle_would_be_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set(), "e": {"a"}}) == [
        ["a", "b", "c"]
    ]
    path = PACKAGE / "adapters" / "registry.py"
    modules = {module_of(each) for each in sources()}
    assert "sdtune.adapters.lora.kohya_format" in imported_files(path, modules)


def test_imports_inside_functions_have_a_reason():
    modules = {module_of(path) for path in sources()}
    unexplained = {
        (module_of(path), each)
        for path in sources()
        for each in imported_files(path, modules, inside_functions=True)
        if not is_excused(module_of(path), each, INSIDE_FUNCTIONS)
    }
    assert unexplained == set()


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
