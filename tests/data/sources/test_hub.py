import pytest

from sdtune._imports import DATASETS_AVAILABLE
from sdtune.data.scan import scan_folder
from sdtune.data.sources.hub import HubSource
from tests.data.sources.conftest import make_table, png


@pytest.mark.parametrize(
    "location", ["photos", "./a/b", "/a/b", "a/b/c", "../a/b", "a/.b", "a b/c"]
)
def test_what_is_no_name_on_the_hub(location):
    assert HubSource().recognise(location) is None


def test_a_folder_of_such_a_name_goes_before(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert HubSource().recognise("owner/name") is not None
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert HubSource().recognise("owner/name") is None


@pytest.mark.skipif(not DATASETS_AVAILABLE, reason="datasets is not installed")
def test_a_data_set_in_the_local_cache_is_read_without_a_network(tmp_path, monkeypatch):
    import datasets

    folder = tmp_path / "hf" / "nobody___drawings" / "default" / "0.0.0" / ("0" * 40)
    folder.mkdir(parents=True)
    table = make_table(image=[{"bytes": png(0), "path": None}], text=["a drawing"])
    file = str(folder / "drawings-train.arrow")
    with datasets.arrow_writer.ArrowWriter(features=table.features, path=file) as writer:
        writer.write_table(table.data.table)
        count, length = writer.finalize()
    split = {"name": "train", "num_bytes": length, "num_examples": count}
    datasets.DatasetInfo(
        features=table.features,
        builder_name="parquet",
        dataset_name="drawings",
        config_name="default",
        version="0.0.0",
        splits={"train": {**split, "dataset_name": "drawings"}},
    ).write_to_directory(str(folder))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    scan = scan_folder("nobody/drawings", cache_dir=tmp_path / "cache")
    assert [(each.name, each.caption) for each in scan.pictures] == [("000000.png", "a drawing")]
    assert scan.pictures[0].path.read_bytes() == png(0)
    assert scan.found == (
        "a data set of the hub, pictures in `image`, captions in `text`, 1 picture"
    )
