import hashlib
import json
import os

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from sdtune.data import manifest as manifest_module
from sdtune.data.decoding import header_size, read_picture
from sdtune.data.image_folder import find_pictures
from sdtune.data.manifest import VERSION, Manifest, perceptual_hash


@pytest.fixture
def looked_at(monkeypatch):
    """Names of the files that are looked at, in the order of their names."""
    seen = []
    look_at = manifest_module._look_at
    monkeypatch.setattr(
        manifest_module,
        "_look_at",
        lambda path, decode: (seen.append(path.name), look_at(path, decode))[1],
    )
    return seen


def test_facts_are_found_once_and_again_when_a_file_changes(tmp_path, make_folder, looked_at):
    folder = make_folder(4, size=(24, 16))
    paths = find_pictures(folder)
    first = Manifest(folder, tmp_path / "cache").facts(paths)
    assert list(first) == paths
    for path, facts in first.items():
        assert facts.size == (24, 16)
        assert facts.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert facts.perceptual == perceptual_hash(read_picture(path))
    assert sorted(looked_at) == ["00.png", "01.png", "02.png", "03.png"]

    looked_at.clear()
    assert Manifest(folder, tmp_path / "cache").facts(paths) == first
    assert looked_at == []

    Image.new("RGB", (30, 10)).save(paths[2])
    again = Manifest(folder, tmp_path / "cache").facts(paths)
    assert looked_at == ["02.png"]
    assert again[paths[2]].size == (30, 10)
    assert {p: again[p] for p in paths if p != paths[2]} == {
        p: first[p] for p in paths if p != paths[2]
    }


def test_a_picture_that_is_cut_off_is_found_by_decoding_alone(tmp_path, make_folder, looked_at):
    folder = make_folder(2, size=(64, 64))
    paths = find_pictures(folder)
    paths[0].write_bytes(paths[0].read_bytes()[:5000])
    manifest = Manifest(folder, tmp_path / "cache")
    assert manifest.facts(paths, decode=False)[paths[0]].size == (64, 64)
    # asked for more than was kept
    facts = manifest.facts(paths, decode=True)
    assert facts[paths[0]].problem.startswith("does not open: ")
    assert facts[paths[1]].problem == ""
    # known better than asked for now; what did not open is tried again
    looked_at.clear()
    assert list(manifest.facts(paths, decode=False)) == paths
    assert looked_at == ["00.png"]


def test_what_is_known_without_decoding_does_not_depend_on_the_cache(
    tmp_path, make_folder, looked_at
):
    folder = make_folder(3)
    paths = find_pictures(folder)
    decoded = Manifest(folder, tmp_path / "cache").facts(paths[:2], decode=True)
    expected = Manifest(folder, tmp_path / "other").facts(paths, decode=False)
    for _ in range(2):  # the second reads what the first wrote
        assert Manifest(folder, tmp_path / "cache").facts(paths, decode=False) == expected
    # and what was known is kept
    looked_at.clear()
    assert Manifest(folder, tmp_path / "cache").facts(paths[:2], decode=True) == decoded
    assert looked_at == []


def test_a_damaged_or_foreign_manifest_is_made_anew(tmp_path, make_folder, caplog):
    folder = make_folder(2)
    paths = find_pictures(folder)
    manifest = Manifest(folder, tmp_path / "cache")
    expected = manifest.facts(paths)
    whole = manifest.path.read_text()
    for content in (
        "",
        "{",
        whole[: len(whole) // 2],
        whole.replace(f'"manifest": {VERSION}', '"a": 1'),
    ):
        manifest.path.write_text(content)
        assert manifest.facts(paths) == expected
    assert "pictures are looked at again" in caplog.text
    assert json.loads(manifest.path.read_text().splitlines()[0])["manifest"] == VERSION


def test_a_cache_that_cannot_be_written_to_costs_a_warning(tmp_path, make_folder, caplog):
    folder = make_folder(2)
    (tmp_path / "cache").write_text("a file in its place")
    paths = find_pictures(folder)
    assert len(Manifest(folder, tmp_path / "cache").facts(paths)) == 2
    assert "is not kept" in caplog.text


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_a_problem_and_is_not_read(tmp_path, make_folder):
    folder = make_folder(1)
    os.mkfifo(folder / "pipe.png")
    facts = Manifest(folder, tmp_path / "cache").facts(find_pictures(folder))
    assert facts[folder / "pipe.png"].problem.endswith("it is not a file")


def test_many_pictures_are_not_decoded_unless_asked(tmp_path, make_folder, monkeypatch):
    folder = make_folder(3)
    monkeypatch.setattr(manifest_module, "DECODED_AT_MOST", 2)
    monkeypatch.setattr(manifest_module, "_SHOW_PROGRESS_ABOVE", 1)
    facts = Manifest(folder, tmp_path / "cache").facts(find_pictures(folder))
    assert {each.perceptual for each in facts.values()} == {None}
    assert all(header_size(path) == each.size for path, each in facts.items())


def test_pictures_that_look_alike_have_hashes_of_few_different_bits():
    generator = np.random.default_rng(0)

    def drawing():
        coarse = generator.integers(0, 256, (9, 9, 3), dtype=np.uint8)
        return Image.fromarray(coarse).resize((90, 90), Image.Resampling.BICUBIC)

    one, other = drawing(), drawing()
    hashed = perceptual_hash(one)
    smaller = one.resize((61, 61)).convert("L")
    brighter = ImageEnhance.Brightness(one).enhance(1.1)
    assert (hashed ^ perceptual_hash(smaller)).bit_count() <= 4
    assert (hashed ^ perceptual_hash(brighter)).bit_count() <= 4
    assert (hashed ^ perceptual_hash(other)).bit_count() > 16


def test_locations_whose_pictures_lie_in_one_folder_keep_a_manifest_each(
    tmp_path, make_folder, looked_at
):
    folder = make_folder(4, size=(24, 16))
    paths = find_pictures(folder)
    for _ in range(2):
        for of, some in (("a", paths[:2]), ("b", paths[1:])):
            assert list(Manifest(folder, tmp_path / "cache", of).facts(some)) == some
    assert sorted(looked_at) == ["00.png", "01.png", "01.png", "02.png", "03.png"]
