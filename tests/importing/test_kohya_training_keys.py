"""Files that kohya keeps are kept here."""

from __future__ import annotations

import pytest

from tests.importing.test_kohya_recipe import fate, imported, said


def kept_there_by_steps(every: int, last: int, end: int) -> set[int]:
    """Replay `get_remove_step_no` of sd-scripts."""
    kept: set[int] = set()
    for step in range(every, end + 1, every):
        kept.add(step)
        kept.discard((step - last - 1) // every * every)
    return kept


def kept_there_by_epochs(every: int, last: int, epochs: int) -> set[int]:
    """Replay `get_remove_epoch_no`; the last epoch's file is the final one."""
    kept: set[int] = set()
    for epoch in range(every, epochs, every):
        kept.add(epoch)
        kept.discard(epoch - every * last)
    return kept


@pytest.mark.parametrize(
    ("every", "last", "end"), [(10, 30, 50), (10, 35, 50), (10, 5, 50), (10, 30, 57), (7, 30, 100)]
)
def test_no_file_of_steps_is_dropped_that_would_stay_there(every, last, end, tmp_path):
    given = {"save_every_n_steps": every, "save_last_n_steps": last, "max_train_steps": end}
    keep = said(imported(tmp_path, **given))["AdapterCheckpoint.keep"]
    written = sorted({*range(every, end + 1, every), end})
    there = kept_there_by_steps(every, last, end)
    assert set(written[-keep:]) == there | {end}


@pytest.mark.parametrize(
    ("every", "last", "epochs"), [(1, 3, 10), (5, 2, 10), (5, 2, 15), (5, 2, 17), (3, 4, 30)]
)
def test_no_file_of_epochs_is_dropped_that_would_stay_there(every, last, epochs, tmp_path):
    given = {
        "save_every_n_epochs": every,
        "save_last_n_epochs": last,
        "max_train_epochs": epochs,
    }
    keep = said(imported(tmp_path, **given))["AdapterCheckpoint.keep"]
    assert keep == every * last + 1
    for epoch in range(1, epochs + 1):  # also of a run that is ended early
        there = kept_there_by_epochs(every, last, epoch + 1)
        assert there <= set(range(1, epoch + 1)[-keep:])
    assert kept_there_by_epochs(every, last, epochs) <= set(range(1, epochs + 1)[-keep:])


def test_an_interval_by_a_ratio_counts_where_the_epochs_are_known(tmp_path):
    given = {"save_n_epoch_ratio": 4, "save_every_n_epochs": 1, "save_last_n_epochs": 2}
    known = imported(tmp_path, **given, max_train_epochs=20)
    assert said(known)["AdapterCheckpoint.keep"] == 2 * 5 + 1
    unknown = imported(tmp_path, **given)
    assert "AdapterCheckpoint.keep" not in said(unknown)
    assert fate(unknown, "save_last_n_epochs") == ["no equal"]


def test_beside_files_of_steps_those_of_epochs_are_said_to_be_missing(tmp_path):
    recipe = imported(
        tmp_path,
        save_last_n_epochs=1,
        save_every_n_epochs=1,
        save_every_n_steps=100,
        save_last_n_steps=300,
    )
    assert said(recipe)["AdapterCheckpoint.keep"] == 4
    assert fate(recipe, "save_every_n_epochs") == ["no equal"]
    assert fate(recipe, "save_last_n_epochs") == ["meaningless here"]
