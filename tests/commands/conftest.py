from pathlib import Path

# before pytest captures a test: Lightning's logger keeps the stderr of its first import, and one
# that has been closed makes every later message a traceback
import lightning.pytorch  # noqa: F401
import pytest
import yaml

from sdtune.commands import trust
from sdtune.commands.recipe import read_yaml
from tests.picture_folders import make_picture_folder

RECIPE = """\
trainer:
  max_steps: 3
  limit_val_batches: 0
  accelerator: cpu
  logger: null
  enable_progress_bar: false
  enable_model_summary: false
  callbacks:
    - class_path: tests.commands.toys.Last
model:
  class_path: tests.commands.toys.Toy
  init_args:
    rank: 4
data:
  class_path: tests.commands.toys.ToyData
  init_args:
    folder: .
"""


@pytest.fixture(autouse=True)
def _toys_are_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "TRUSTED", (*trust.TRUSTED, "tests"))


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A recipe `toy.yaml` in an empty working folder, over the classes of `toys.py`."""
    monkeypatch.chdir(tmp_path)
    Path("toy.yaml").write_text(RECIPE, encoding="utf-8")
    return "toy.yaml"


@pytest.fixture
def short_style(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The shipped recipe `style.yaml` in a working folder, with two callbacks and four pictures.

    Each of its callbacks is parsed again for each fault, and each picture looked at.
    """
    recipe = read_yaml(str(Path(__file__).parents[2] / "recipes/style_lora.yaml"))
    callbacks = recipe["trainer"]["callbacks"]
    kept = ("sdtune.SampleGrid", "sdtune.ResumeCheckpoint")
    recipe["trainer"]["callbacks"] = [each for each in callbacks if each["class_path"] in kept]
    few = {"folder": str(make_picture_folder(tmp_path / "pictures")), "validation_count": 1}
    recipe["data"]["init_args"] |= few
    monkeypatch.chdir(tmp_path)
    Path("style.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return "style.yaml"
