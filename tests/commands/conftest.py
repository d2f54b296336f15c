from pathlib import Path

# before pytest captures a test: Lightning's logger keeps the stderr of its first import, and one
# that has been closed makes every later message a traceback
import lightning.pytorch  # noqa: F401
import pytest

from sdtune.commands import trust

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
