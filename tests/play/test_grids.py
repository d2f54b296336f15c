from __future__ import annotations

from dataclasses import replace

import pytest

from sdtune.play.grids import by_checkpoint, by_prompt, read_numbers


@pytest.mark.slow
def test_checkpoints_stand_across_and_strengths_down(studio, asked) -> None:
    asked = replace(asked, num_inference_steps=1)
    grid = by_checkpoint(studio, asked, 0, ["step_000001", "step_000002"], [0.0, 0.5, 1.0])
    assert grid.columns == ["step 1", "step 2"]
    assert grid.rows == ["strength 0", "strength 0.5", "strength 1"]
    strengths = [[each.strength for each in s.adapters] for s in grid.settings]
    assert strengths == [[1.0], [0.5, 1.0], [1.0, 1.0]] * 2  # the word stays as it is asked for
    hashes = {each.adapters[0].sha256 for each in grid.settings if len(each.adapters) == 2}
    assert len(hashes) == 2
    drawn = studio.draw(grid.settings)
    assert drawn[0] is drawn[3]  # without strength both are the base, which is drawn once
    image = grid.image(drawn)
    width, height = image.size
    assert width > 2 * 64
    assert height > 3 * 128


@pytest.mark.slow
def test_the_tiles_stand_where_the_labels_say(studio, asked) -> None:
    grid = by_prompt(studio, asked, ["a cat", "a dog"], [5, 6, 7])
    assert [(each.prompt, each.seed) for each in grid.settings] == [
        (prompt, seed) for prompt in ("a cat", "a dog") for seed in (5, 6, 7)
    ]
    assert (grid.columns, grid.rows) == (["a cat", "a dog"], ["seed 5", "seed 6", "seed 7"])
    drawn = studio.draw([replace(each, num_inference_steps=1) for each in grid.settings])
    assert {each.settings.batch.size for each in drawn} == {6}  # at once
    rows = grid.tiles(drawn)
    assert [[each.path for each in row] for row in rows] == [
        [drawn[0].path, drawn[3].path],
        [drawn[1].path, drawn[4].path],
        [drawn[2].path, drawn[5].path],
    ]


def test_numbers_are_read_as_people_write_them() -> None:
    assert read_numbers("0, 0.5 1,-2", "strengths") == [0.0, 0.5, 1.0, -2.0]
    with pytest.raises(ValueError, match="Expected strengths to be numbers such as `0, "):
        read_numbers("0, much", "strengths")
    with pytest.raises(ValueError, match="but got `nan`"):
        read_numbers("nan", "strengths")


@pytest.mark.slow
def test_grids_are_bounded(studio, asked) -> None:
    with pytest.raises(ValueError, match="at least one seed for the grid"):
        by_prompt(studio, asked, ["a"], [])
    with pytest.raises(ValueError, match="at least one checkpoint for the grid"):
        by_checkpoint(studio, asked, 0, [], [1.0])
    with pytest.raises(ValueError, match=r"Expected at most 100 pictures .* make 101"):
        by_prompt(studio, asked, ["a"], range(101))
