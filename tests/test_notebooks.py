"""The notebooks run from top to bottom, in few steps."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
import yaml
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from sdtune.commands.recipe import read_yaml
from tests.picture_folders import few_of_the_style

_SHORTER = (
    (r"\b((max|budget|(class|num)_inference)_steps|class_count|style_pictures)=\d+", r"\1=2"),
    (r'("--(num_inference_steps|style_pictures)"), "\d+"', r'\1, "2"'),
    (r"\buse_adapter=use_adapter\)", "use_adapter=use_adapter, num_inference_steps=2)"),
    (r"guidance_scale=2\.0\)\.images", "guidance_scale=2.0, num_inference_steps=2).images"),
    (r'\bprompts = \[("[^"]+", "[^"]+").*\]', r"prompts = [\1]"),
    (r"\bseeds=\[0, 1\]", "seeds=[0]"),
    (r'"--seeds", "0", "1"', '"--seeds", "0"'),
    (r"\boverrides=\{", 'overrides={"data.folder": "few", '),
    (r'"datasets/style_openmoji"', '"few"'),
    (r'recipe="style_lora"', 'recipe="quick.yaml"'),
)
_PICTURES = {"style_lora": 2, "subjects": 2, "evaluate_adapter": 1, "compare": 1}
_FOLDER = Path(__file__).parents[1] / "recipes" / "notebooks"


def _quickly_drawn(recipe: str) -> str:
    """Word a recipe without grids and losses of pictures: the comparison draws by itself."""
    content = read_yaml(_FOLDER.parent / f"{recipe}.yaml")
    callbacks = content["trainer"]["callbacks"]
    left_out = ("sdtune.SampleGrid", "sdtune.PictureLosses")
    content["trainer"]["callbacks"] = [
        each for each in callbacks if each["class_path"] not in left_out
    ]
    return yaml.safe_dump(content)


def _outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(_FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_runs(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_python: Path
) -> None:
    monkeypatch.setattr("sys.executable", str(quick_python))
    monkeypatch.setenv("SDTUNE_CACHE", str(tmp_path / "cache"))
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        for longer, shorter in _SHORTER:
            cell.source = re.sub(longer, shorter, cell.source)
    # what it writes goes beside a copy: its own folder stays as it is
    folder = tmp_path / "recipes" / "notebooks"
    folder.mkdir(parents=True)
    few_of_the_style(folder / "few")
    (folder / "quick.yaml").write_text(_quickly_drawn("style_lora"), encoding="utf-8")
    client = NotebookClient(notebook, resources={"metadata": {"path": str(folder)}}, timeout=600)
    try:
        client.execute()
    except CellExecutionError as error:  # what led to it was told by the cells before
        error.add_note("".join(each.get("text", "") for each in _outputs(notebook)))
        raise
    outputs = _outputs(notebook)
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == _PICTURES[path.stem]


@pytest.mark.parametrize("path", sorted(_FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_installs_first_needs_no_checkout_and_keeps_its_outputs(path: Path) -> None:
    code = [each for each in nbformat.read(path, as_version=4).cells if each.cell_type == "code"]
    assert "%pip install" in code[0].source
    assert 'find_spec("sdtune") is None' in code[0].source
    assert not [each for each in code if "../" in each.source]
    kept = [output for each in code for output in each.outputs]
    shown = [each for each in kept if "image/jpeg" in each.get("data", {})]  # smaller than PNG
    assert len(shown) == _PICTURES[path.stem]
