import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

import sdtune

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "lightning", "diffusers", "transformers", "peft", "PIL", "numpy"}


def test_import_is_quick_and_loads_nothing_heavy():
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", "import sdtune, sys; print(*sys.modules)"],
            capture_output=True,
            text=True,
            check=True,
        )
        seconds.append(time.perf_counter() - start)
    assert not HEAVY & set(done.stdout.split())
    assert min(seconds) < 1.0


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute `quux`"):
        _ = sdtune.quux


def test_all_names_are_known_to_dir_and_to_the_lazy_table():
    assert sorted(sdtune._MODULES) == sorted(sdtune.__all__)
    assert set(sdtune.__all__) <= set(dir(sdtune))


def test_type_checkers_see_what_is_loaded_lazily():
    tree = ast.parse((ROOT / "sdtune" / "__init__.py").read_text(encoding="utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert seen == sdtune._MODULES


@pytest.mark.parametrize("name", sdtune.__all__)
def test_public_names_are_defined_where_the_table_says(name):
    path = ROOT / (sdtune._MODULES[name].replace(".", "/") + ".py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert name in {getattr(node, "name", None) for node in tree.body}
