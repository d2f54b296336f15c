from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from sdtune.comparison import agreement
from sdtune.comparison.agreement import input_problems
from sdtune.comparison.planning import PlannedRun
from sdtune.comparison.run_inputs import RunInputs, base_hash, read_inputs
from sdtune.data.style import StyleDataModule
from sdtune.data.subject import SubjectDataModule
from sdtune.evaluation.training_set import TrainingSet
from tests.picture_folders import make_picture_folder


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDTUNE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six pictures with captions."""
    return make_picture_folder(tmp_path / "pictures", 6)


def style(folder: Path, **settings: object) -> RunInputs:
    return read_inputs(StyleDataModule(str(folder), resolution=64, **settings), {"base": "nano"})


def test_pictures_captions_and_the_split_decide_and_the_time_does_not(folder: Path) -> None:
    first = style(folder)
    [a, b, *_] = sorted(folder.glob("*.png"))
    a.write_bytes(a.read_bytes())  # at another time
    assert style(folder) == first
    assert (first.base, first.count) == ("nano", 6)
    held = style(folder, validation_count=2)
    assert (held.count, held.pictures != first.pictures) == (4, True)

    caption = a.with_suffix(".txt")
    told = caption.read_text(encoding="utf-8")
    caption.write_text("something else\n", encoding="utf-8")
    other = style(folder)
    assert other.digest != first.digest
    assert other.pictures == first.pictures  # scores can still be compared
    caption.write_text(told, encoding="utf-8")
    assert style(folder) == first
    Image.new("RGB", (64, 64), "red").save(folder / "one_more.png")
    (folder / "one_more.txt").write_text("red\n", encoding="utf-8")
    more = style(folder)
    assert (more.count, more.digest != first.digest) == (7, True)
    (folder / "one_more.png").unlink()
    (folder / "one_more.txt").unlink()
    assert style(folder) == first
    b.unlink()
    b.with_suffix(".txt").unlink()
    assert style(folder).pictures != first.pictures


def test_pictures_are_known_as_the_record_knows_them(folder: Path) -> None:
    data = StyleDataModule(str(folder), resolution=64, validation_count=1)
    found = read_inputs(data, {})
    data.setup("fit")
    assert found.pictures == TrainingSet.of(data).describe().sha256


def test_class_pictures_decide_too(folder: Path, tmp_path: Path) -> None:
    of_class = make_picture_folder(tmp_path / "class", 3)

    def found() -> RunInputs:
        data = SubjectDataModule(
            str(folder), "a qqq cat", class_dir=str(of_class), class_prompt="a cat", resolution=64
        )
        return read_inputs(data, {})

    first = found()
    assert found() == first
    Image.new("RGB", (64, 64), "red").save(of_class / "more.png")
    assert found().digest != first.digest
    assert found().pictures == first.pictures


def test_weights_are_known_by_size_and_time(tmp_path: Path) -> None:
    base = tmp_path / "base"
    (base / "unet").mkdir(parents=True)
    weights = base / "unet" / "model.safetensors"
    weights.write_bytes(b"weights")
    os.utime(weights, (1, 1))

    def digest(**arguments: object) -> str:
        return read_inputs(None, arguments).digest

    first = digest(base=str(base))
    assert digest(base=str(base)) == first
    assert digest(base="owner/name") == digest(base="nano") == digest()
    os.utime(weights, (2, 2))
    assert digest(base=str(base)) != first
    file = digest(base=str(weights))
    weights.write_bytes(b"other weights")
    os.utime(weights, (2, 2))
    assert digest(base=str(weights)) != file


def test_other_pictures_and_other_bases_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = {"nano": "a", "copy_of_nano": "a", "other": "b"}
    monkeypatch.setattr(agreement, "base_hash", hashes.__getitem__)

    def plan(name: str, base: str, pictures: str, count: int) -> PlannedRun:
        run = PlannedRun(name, "r", {}, (), "0123", tmp_path)
        return run.with_inputs(RunInputs("d", base, pictures, count))

    first, same = plan("first", "nano", "p", 5), plan("same", "copy_of_nano", "p", 5)
    assert first.digest == same.digest != "0123"
    assert list(input_problems([first, same])) == []
    pictures, base = input_problems(
        [first, plan("held", "nano", "q", 3), same, plan("based", "other", "p", 5)]
    )
    assert pictures.startswith("Expected `held` to train on what `first` does, for their scores")
    assert "but they differ in training pictures (5 and 3): compare them" in pictures
    assert "`based`" in base
    assert "differ in `model.base` (nano and other): " in base
    assert list(input_problems([PlannedRun("unknown", "r", {}, (), "0", tmp_path)])) == []


@pytest.mark.slow
def test_a_base_is_hashed_as_the_record_has_it(micro_sd: Path) -> None:
    assert base_hash(str(micro_sd)) == base_hash(str(micro_sd))
    with pytest.raises(ValueError, match="Expected `base`"):
        base_hash("nonesuch")
