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


def test_a_dictionary_of_splits(saved, tmp_path):
    scan = scan_folder(saved, cache_dir=tmp_path / "cache")
    assert [(each.name, each.caption) for each in scan.pictures] == [("000000.png", "one")]
    assert scan.notes == [f"{saved}: only `train` is read, not test."]
    assert scan.problems == []


@pytest.mark.parametrize("name", ["../../elsewhere.arrow", "/etc/passwd"])
def test_a_state_that_leads_out_is_refused(saved, tmp_path, name):
    state = saved / "train" / "state.json"
    found = json.loads(state.read_text())
    found["_data_files"] = [{"filename": name}]
    state.write_text(json.dumps(found))
    (problem,) = scan_folder(saved, cache_dir=tmp_path / "cache").problems
    assert problem == (
        f"{saved}: cannot be read by `datasets` ({state} names a file outside of its folder); see "
        "whether it is whole."
    )


def test_splits_that_lead_out_are_refused(saved):
    (saved / "dataset_dict.json").write_text('{"splits": ["../other"]}')
    assert "names a folder outside of its own" in scan_folder(saved).problems[0]


def test_a_damaged_one_is_a_problem(saved):
    for path in saved.rglob("*.arrow"):
        path.write_bytes(b"damaged")
    (problem,) = scan_folder(saved).problems
    assert problem.startswith(f"{saved}: cannot be read by `datasets` (")
