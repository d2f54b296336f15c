import json
import os
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from sdtune.run_folder import checkpoints
from sdtune.run_folder.checkpoints import (
    MANIFEST,
    damage_of,
    find_checkpoint,
    go_on_from,
    publish,
)

STEPS = (10, 20, 30, 40)


def write(folder: Path, step: int, kept, *, in_pieces=False, keep_last=2):
    temporary = folder / f".{step}.tmp"
    if in_pieces:
        temporary.mkdir()
        (temporary / "piece").write_text(str(step))
    else:
        temporary.write_text(f"state of step {step}")
    options = {"step": step, "events": {}, "keep_last": keep_last}
    return publish(temporary, folder / "last.ckpt", kept, **options)


def go_on(path: Path, keep_last=2):
    step = int(path.read_text().rpartition(" ")[2]) if path.is_file() else 0
    return go_on_from(path, path.parent, step, dict, keep_last)


@pytest.mark.parametrize("in_pieces", [False, True])
@pytest.mark.parametrize("keep_last", [1, 2, 3])
def test_the_last_ones_stay_and_are_known_by_their_hashes(tmp_path, in_pieces, keep_last):
    kept = []
    for step in STEPS:
        kept = write(tmp_path, step, kept, in_pieces=in_pieces, keep_last=keep_last)
    older = [f"step_{step:06}.ckpt" for step in STEPS[4 - keep_last : -1]]
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(["last.ckpt", MANIFEST, *older])
    assert [each.step for each in kept] == [*reversed(STEPS)][:keep_last]
    assert [damage_of(tmp_path / name) for name in ("last.ckpt", *older)] == [None] * keep_last
    assert find_checkpoint(tmp_path) == (tmp_path / "last.ckpt", [])


def test_files_that_the_manifest_does_not_list_are_nobodys_to_delete(tmp_path):
    (tmp_path / "step_000005.ckpt").write_text("of somebody else's")
    kept = []
    for step in STEPS:
        kept = write(tmp_path, step, kept)
    assert go_on(tmp_path / "last.ckpt") == kept
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["last.ckpt", MANIFEST, "step_000005.ckpt", "step_000030.ckpt"]


def test_one_too_many_is_deleted_at_the_next_start_if_a_kill_came_before(tmp_path, monkeypatch):
    first = write(tmp_path, 20, write(tmp_path, 10, []))
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "_remove", lambda path: None)
        write(tmp_path, 30, first)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"step_000010.ckpt", "step_000020.ckpt"} <= names
    go_on(tmp_path / "last.ckpt")
    assert not (tmp_path / "step_000010.ckpt").exists()
    assert (tmp_path / "step_000020.ckpt").exists()


@pytest.mark.parametrize("in_pieces", [False, True])
@pytest.mark.parametrize("is_damaged", [False, True])
def test_the_one_gone_on_from_is_the_newest_and_stays(tmp_path, in_pieces, is_damaged):
    kept = []
    for step in STEPS:
        kept = write(tmp_path, step, kept, in_pieces=in_pieces, keep_last=3)
    last, older = tmp_path / "last.ckpt", tmp_path / "step_000020.ckpt"
    if is_damaged:
        (last / "piece" if in_pieces else last).write_text("other")
    kept = go_on(older, keep_last=3)
    assert [each.step for each in kept] == [20]
    assert find_checkpoint(tmp_path) == (last, [])  # nobody goes on from what is given up
    assert [damage_of(path) for path in (last, older)] == [None, None]
    assert {path.name for path in tmp_path.iterdir()} == {last.name, older.name, MANIFEST}
    kept = write(tmp_path, 25, kept, in_pieces=in_pieces)
    assert [each.step for each in kept] == [25, 20]
    assert [damage_of(path) for path in (last, older)] == [None, None]
    text = [(path / "piece" if in_pieces else path).read_text() for path in (last, older)]
    assert [each.rpartition(" ")[2] for each in text] == ["25", "20"]


@pytest.mark.parametrize("place", [".", ".."])
def test_somebody_elses_file_can_be_gone_on_from_and_is_nobodys_to_delete(tmp_path, place):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    kept = write(folder, 20, write(folder, 10, []))
    other = (folder / place / "other.ckpt").resolve()
    other.write_text("state of 15")
    kept = go_on_from(other, folder, 15, lambda: {"curves": 3}, 2)
    assert [(each.step, dict(each.events)) for each in kept] == [(15, {"curves": 3}), (10, {})]
    assert (folder / "last.ckpt").read_text() == "state of 15"
    write(folder, 30, kept, keep_last=1)
    assert {path.name for path in folder.iterdir()} - {other.name} == {"last.ckpt", MANIFEST}
    assert other.read_text() == "state of 15"


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("from_older", [False, True])
def test_a_crash_at_any_operation_leaves_a_good_checkpoint(
    tmp_path, monkeypatch, links, from_older
):
    """Each call that changes the folder is the last one, in turn."""
    calls = ["replace", "link", "unlink"]
    for crash_at in range(24):
        folder = tmp_path / str(crash_at)
        folder.mkdir()
        kept = write(folder, 20, write(folder, 10, []))
        left = crash_at
        with monkeypatch.context() as patch:

            def crashing(original):
                def call(*arguments, **options):
                    nonlocal left
                    left -= 1
                    if left < 0:
                        raise KeyboardInterrupt
                    return original(*arguments, **options)

                return call

            for name in calls:
                patch.setattr(os, name, crashing(getattr(os, name)))
            if not links:
                patch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError("no links")))
            with suppress(KeyboardInterrupt):
                if from_older:
                    kept = go_on(folder / "step_000010.ckpt")
                write(folder, 15 if from_older else 30, kept)
        found, problems = find_checkpoint(folder)
        assert problems == []
        assert found.read_text() in {f"state of step {step}" for step in (10, 15, 20, 30)}
        if from_older:
            states = {path.read_text() for path in folder.glob("*.ckpt")}
            assert "state of step 10" in states
    assert left >= 0  # the last round had no crash


def test_one_flipped_bit_is_noticed_wherever_it_is(tmp_path):
    write(tmp_path, 20, write(tmp_path, 10, []))
    last = tmp_path / "last.ckpt"
    content = last.read_bytes()
    for place in range(len(content)):
        last.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        found, (problem,) = find_checkpoint(tmp_path)
        assert found == tmp_path / "step_000010.ckpt"
        assert problem.startswith(f"Expected {last} to be as it was written")


def test_without_any_good_one_all_are_named(tmp_path):
    write(tmp_path, 20, write(tmp_path, 10, []))
    for path in tmp_path.glob("*.ckpt"):
        path.write_text("other")
    found, problems = find_checkpoint(tmp_path)
    assert found is None
    assert len(problems) == 2


def test_a_damaged_manifest_leaves_the_files_own_checksums(tmp_path):
    write(tmp_path, 10, [])
    (tmp_path / MANIFEST).write_text(json.dumps({"version": 99}))
    _, (problem,) = find_checkpoint(tmp_path)  # no zip file, as torch writes them
    assert "it is cut off, or a checksum in it is wrong" in problem


def test_a_copy_with_a_name_of_its_own_is_judged_by_its_own_sums(tmp_path):
    kept = write(tmp_path, 10, [])
    torch.save({"step": 10}, tmp_path / "before_i_tried_this.ckpt")
    write(tmp_path, 20, kept, keep_last=1)  # whose manifest knows nothing of the copy
    assert damage_of(tmp_path / "before_i_tried_this.ckpt") is None
    content = bytearray((tmp_path / "before_i_tried_this.ckpt").read_bytes())
    content[content.index(b"step")] ^= 1
    (tmp_path / "before_i_tried_this.ckpt").write_bytes(content)
    assert "a checksum in it is wrong" in str(damage_of(tmp_path / "before_i_tried_this.ckpt"))
