import json

import pytest

from sdtune._imports import DATASETS_AVAILABLE
from sdtune.data.scan import scan_folder
from tests.data.sources.conftest import make_table, png

pytestmark = pytest.mark.skipif(not DATASETS_AVAILABLE, reason="datasets is not installed")


@pytest.fixture
def saved(tmp_path):
    import datasets

    table = make_table(image=[{"bytes": png(0), "path": None}], text=["one"])
    datasets.DatasetDict(train=table, test=table).save_to_disk(tmp_path / "saved")
    return tmp_path / "saved"


@pytest.mark.parametrize("name", ["../../elsewhere.arrow", "/etc/passwd"])
def test_a_state_that_leads_out_is_refused(saved, tmp_path, name):
    state = saved / "train" / "state.json"
    found = json.loads(state.read_text())
    found["_data_files"] = [{"filename": name}]
    state.write_text(json.dumps(found))
    (problem,) = scan_folder(saved, cache_dir=tmp_path / "cache").problems
    assert str(problem) == (
        f"{saved}: cannot be read by `datasets` ({state} names a file outside of its folder); see "
        "whether it is whole."
    )
