from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from sdtune.drawing.sources import adapter_source, checkpoints, find_recorded, relative_path


def test_a_checkpoint_of_a_run_is_chosen(run: Path, tmp_path: Path) -> None:
    assert list(checkpoints(run)) == ["last", "step_000001", "step_000002"]
    first, last = adapter_source(run, "1"), adapter_source(run, "last")
    assert first.path == run / "adapter" / "step_000001"
    assert adapter_source(run, "step_000002").sha256 == last.sha256 != first.sha256
    assert adapter_source(run).sha256 == last.sha256
    with pytest.raises(FileNotFoundError, match=r"one of .*, `last`, `1`, `2`, but got `7`"):
        adapter_source(run, "7")
    copied = shutil.copytree(run, tmp_path / "version_0")
    shutil.copytree(copied / "adapter" / "step_000001", copied / "adapter" / "best")
    assert adapter_source(copied).sha256 == first.sha256


def test_names_are_those_that_a1111_is_given(run: Path, word: Path, tmp_path: Path) -> None:
    assert adapter_source(run).name == "style_lora"
    assert adapter_source(run / "adapter" / "step_000001").name == "style_lora"
    strange = tmp_path / "my: style,<1>.safetensors"
    shutil.copy(adapter_source(run).files[0], strange)
    assert adapter_source(strange).name == "my_style_1_"
    assert adapter_source(run).lora_hash == adapter_source(strange).lora_hash != ""
    assert adapter_source(word).lora_hash == ""
    assert adapter_source(word).fields.tuned("a {subject}", "prompt") == "a <erica>"


def test_a_file_of_another_adapter_is_not_taken_for_the_one_beside_it(
    run: Path, tmp_path: Path
) -> None:
    first, last = (run / "adapter" / f"step_00000{number}" for number in (1, 2))
    own = tmp_path / "pytorch_lora_weights.safetensors"
    shutil.copy(first / own.name, own)
    shutil.copy(last / "kohya_lora.safetensors", tmp_path / "style.safetensors")
    assert adapter_source(tmp_path).files == (own,)
    assert adapter_source(first).files == (first / "kohya_lora.safetensors",)


def test_recorded_adapters_are_found_by_hash(run, word, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run / "adapter" / "step_000001", "here")
    picture = Path("a.png")
    used = adapter_source("here").used()
    assert used.path == "here"
    assert [each.path for each in find_recorded([used], [], picture)] == [Path("here")]
    given = adapter_source(run / "adapter" / "step_000001")
    [found] = find_recorded([replace(used, path="gone")], [adapter_source(word), given], picture)
    assert found is given
    other = replace(used, sha256="1" * 64)
    with pytest.raises(ValueError, match="hash 1111111111, to be given, for it is not at here"):
        find_recorded([other], [given], picture)


def test_a_path_of_a_stranger_is_not_followed_out_of_the_folder(run, tmp_path, monkeypatch) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    shutil.copytree(run / "adapter" / "step_000001", outside)
    (inside / "link").symlink_to(outside)
    monkeypatch.chdir(inside)
    used = adapter_source(outside).used()
    assert used.path == ""
    for path in (str(outside), "../outside", "link"):
        with pytest.raises(ValueError, match="to be given"):
            find_recorded([replace(used, path=path)], [], Path("a.png"))


def test_paths_below_the_folder_alone_are_told(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert relative_path(Path("runs/a")) == "runs/a"
    assert relative_path(tmp_path / "runs" / "b") == "runs/b"
    assert relative_path(Path("runs/../c")) == "c"
    assert relative_path(Path("../d")) == relative_path(Path("/elsewhere/d")) == ""
