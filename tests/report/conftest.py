from pathlib import Path

import pytest

from tests.report.run_folder import make_run_folder


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with all that a report can show; not to be written into."""
    return make_run_folder(tmp_path_factory.mktemp("runs") / "style_lora" / "version_0")
