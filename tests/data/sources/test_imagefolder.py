import json

import pytest

from sdtune._imports import DATASETS_AVAILABLE
from sdtune.data.scan import scan_folder
from sdtune.data.sources.imagefolder import ImageFolderSource

ROW = '{"file_name": "%s", "text": "one"}\n'


def test_what_is_recognised(write):
    source = ImageFolderSource()
    assert source.recognise(str(write({"a/b/metadata.csv": "x"}, "nested"))).certainty == 1
    assert source.recognise(str(write({"metadata.parquet": "x"}, "parquet"))).certainty == 2
    assert source.recognise(str(write({"metadata.jsonl": "x"}, "plain"))) is None
    assert source.recognise(str(write({"a/b/c/metadata.csv": "x"}, "deep"))) is None


@pytest.mark.skipif(not DATASETS_AVAILABLE, reason="datasets is not installed")
def test_a_file_name_that_leads_out_is_never_read(write, tmp_path):
    write({"secret.png": 0}, "elsewhere")
    folder = write({"train/a.png": 1, "train/metadata.jsonl": ROW % "../../elsewhere/secret.png"})
    scan = scan_folder(folder, cache_dir=tmp_path / "cache")
    assert scan.pictures == []
    assert scan.problems


@pytest.mark.skipif(not DATASETS_AVAILABLE, reason="datasets is not installed")
def test_changed_metadata_are_read_again(write, tmp_path):
    for text in ("one", "two"):
        rows = json.dumps({"file_name": "a.png", "text": text})
        folder = write({"train/a.png": 1, "train/metadata.jsonl": rows})
        scan = scan_folder(folder, cache_dir=tmp_path / "cache")
        assert [each.caption for each in scan.pictures] == [text]


@pytest.mark.skipif(not DATASETS_AVAILABLE, reason="datasets is not installed")
def test_a_folder_without_such_files_is_a_problem_where_it_is_forced(tmp_path):
    (problem,) = scan_folder(tmp_path / "gone", source="imagefolder").problems
    assert (
        str(problem) == f"{tmp_path}/gone: there is no such folder; name the one with the pictures."
    )
