import logging
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch import seed_everything
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sdtune._prompt_fields import PromptFields, Subject
from sdtune.adapters.words import add_token_embedding
from sdtune.callbacks import sample_grid
from sdtune.callbacks.resume_checkpoint import ResumeCheckpoint
from sdtune.callbacks.sample_grid import SampleGrid
from sdtune.models import load
from tests.callbacks.fake_technique import FakeData, FakeTechnique, make_trainer
from tests.equal_states import assert_equal_states

PROMPTS = ["a cat", "a red car"]


def fit(folder, *callbacks, ckpt_path=None, **arguments):
    technique = FakeTechnique()
    seed_everything(0, verbose=False)
    trainer = make_trainer(folder, *callbacks, **arguments)
    trainer.fit(technique, FakeData(), ckpt_path=ckpt_path)
    return technique


def test_the_bases_row_comes_first_and_then_a_row_per_checkpoint(tmp_path):
    technique = fit(tmp_path, SampleGrid(PROMPTS, seeds=[0, 7], every_n_steps=2))
    assert [(step, tuned) for step, _, _, tuned, _ in technique.calls] == [
        (0, False), (2, True), (4, True), (6, True)
    ]  # fmt: skip
    _, prompts, seeds, _, modes = technique.calls[0]
    assert prompts == ["a cat", "a cat", "a red car", "a red car"]
    assert seeds == [0, 7, 0, 7]
    assert modes == {False}
    grids = sorted(path.name for path in (tmp_path / "samples").glob("*.png"))
    assert grids == [f"step_{step:06d}.png" for step in (0, 2, 4, 6)]
    heights = [Image.open(tmp_path / "samples" / grid).height for grid in grids]
    assert np.diff(heights).tolist() == [132, 132, 132]
    strip = Image.open(tmp_path / "samples" / "rows" / "step_000004.png")
    assert strip.size == (4 * 16, 16)
    assert strip.getpixel((16, 0)) == (round(0.54 * 255), round(0.7 * 255), 0)


@pytest.mark.parametrize(
    ("every_n_steps", "arguments", "rows"), [(2, {}, 4), (None, {"val_check_interval": 1}, 7)]
)
def test_training_is_bit_equal_with_and_without(tmp_path, every_n_steps, arguments, rows):
    alone = fit(tmp_path / "a", **arguments)
    seen = fit(tmp_path / "b", SampleGrid(PROMPTS, every_n_steps=every_n_steps), **arguments)
    assert len(seen.calls) == rows
    assert_equal_states(alone, seen)


def test_tensorboard_shows_the_grid_and_every_prompt(tmp_path):
    logger = TensorBoardLogger(tmp_path, name="recipe", version="one")
    fit(tmp_path, SampleGrid(PROMPTS, every_n_steps=3), logger=logger)
    events = EventAccumulator(logger.log_dir).Reload()
    assert set(events.Tags()["images"]) == {"samples/grid", "samples/a cat", "samples/a red car"}
    assert [event.step for event in events.Images("samples/a cat")] == [0, 3, 6]
    assert events.Images("samples/a cat")[0].width == 16
    assert (tmp_path / "recipe" / "one" / "samples" / "step_000006.png").is_file()


def test_a_resumed_run_shows_the_earlier_rows(tmp_path):
    grid = {"prompts": PROMPTS, "every_n_steps": 2}
    fit(tmp_path, SampleGrid(**grid), ResumeCheckpoint(2), max_steps=4)
    checkpoint = tmp_path / "checkpoints" / "last.ckpt"
    technique = fit(
        tmp_path, SampleGrid(**grid), ResumeCheckpoint(2), max_steps=6, ckpt_path=checkpoint
    )
    assert [call[0] for call in technique.calls] == [6]
    whole = fit(tmp_path / "whole", SampleGrid(**grid))
    assert len(whole.calls) == 4
    name = "samples/step_000006.png"
    assert (tmp_path / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_run_resumed_in_another_folder_brings_its_rows(tmp_path):
    grid = {"prompts": PROMPTS, "every_n_steps": 2}
    fit(tmp_path / "old", SampleGrid(**grid), ResumeCheckpoint(2), max_steps=4)
    checkpoint = tmp_path / "old" / "checkpoints" / "last.ckpt"
    technique = fit(tmp_path / "new", SampleGrid(**grid), max_steps=6, ckpt_path=checkpoint)
    assert [call[0] for call in technique.calls] == [6]
    rows = sorted(path.name for path in (tmp_path / "new" / "samples" / "rows").iterdir())
    assert rows == ["base.png", "step_000002.png", "step_000004.png", "step_000006.png"]


def test_the_last_row_that_a_killed_run_left_out_is_drawn(tmp_path):
    fit(tmp_path, ResumeCheckpoint(2), max_steps=4)
    checkpoint = tmp_path / "checkpoints" / "last.ckpt"
    for calls in ([(4, False), (4, True)], []):  # the base and the last step; nothing the next time
        grid = SampleGrid(PROMPTS, every_n_steps=2)
        technique = fit(tmp_path, grid, max_steps=4, ckpt_path=checkpoint)
        assert [(step, tuned) for step, _, _, tuned, _ in technique.calls] == calls
    assert (tmp_path / "samples" / "step_000004.png").is_file()


def test_the_seconds_are_reported(tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="lightning.pytorch"):
        fit(tmp_path, SampleGrid(PROMPTS, every_n_steps=6))
    assert "Sampled 2 pictures of the base in" in caplog.text
    assert "Sampled 2 pictures of step 6 in 0." in caplog.text


def test_a_trial_run_leaves_nothing(tmp_path):
    fit(tmp_path, SampleGrid(PROMPTS), fast_dev_run=True)
    assert not (tmp_path / "samples").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompts": []}, "`prompts` to be a list of at least one value"),
        ({"prompts": "a cat"}, "`prompts` to be a list"),
        ({"prompts": ["a", "a"]}, "`prompts` to be .* all different"),
        ({"prompts": ["a", " "]}, "one of them is empty"),
        ({"seeds": []}, "`seeds` to be a list"),
        ({"every_n_steps": -1}, "`every_n_steps` to be a positive integer or None, but got -1"),
        ({"num_inference_steps": 0}, "`num_inference_steps` to be a positive integer"),
        ({"guidance_scale": -1.0}, "`guidance_scale` to be 0 or more"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SampleGrid(**{"prompts": PROMPTS} | arguments)


def test_pictures_that_are_no_numbers_are_striped_and_told(tmp_path, monkeypatch):
    generate = FakeTechnique.generate

    def lost(self, prompts, *args, use_adapter=True, **arguments):
        images = generate(self, prompts, *args, use_adapter=use_adapter, **arguments)
        if use_adapter:
            images[0] = float("nan")
        return images

    monkeypatch.setattr(FakeTechnique, "generate", lost)
    with pytest.warns(UserWarning, match="1 of 2 pictures holds what is not a finite number"):
        fit(tmp_path, SampleGrid(PROMPTS, every_n_steps=6))
    with Image.open(tmp_path / "samples" / "rows" / "step_000006.png") as strip:
        pixels = np.asarray(strip)
    assert set(np.unique(pixels[:, : pixels.shape[1] // 2])) == {0, 255}


def test_pictures_need_not_be_square(tmp_path):
    fit(tmp_path, SampleGrid(PROMPTS, every_n_steps=3, width=24, height=16))
    strip = Image.open(tmp_path / "samples" / "rows" / "step_000003.png")
    assert strip.size == (2 * 24, 16)
    grid = Image.open(tmp_path / "samples" / "step_000006.png")
    assert grid.width > 2 * 128 + 24
    again = SampleGrid(PROMPTS, width=24, height=16)
    again.folder = tmp_path / "samples"
    assert [each.tiles[0].size for each in again._rows.rows()] == [(24, 16)] * 3
    with pytest.raises(ValueError, match="`width` to be a positive multiple of 8, but got 20"):
        SampleGrid(PROMPTS, width=20)


@pytest.mark.parametrize("own", [None, Subject("robot", placeholder="<robot>")])
def test_fields_are_filled_by_the_data_or_here_and_the_base_reads_the_noun(tmp_path, own):
    data = FakeData()
    data.prompt_fields = PromptFields.of_subjects([Subject("dog", "qqq")])
    technique, grid = FakeTechnique(), SampleGrid(["a {subject}", "a {class}"], subject=own)
    assert grid.problems_with(data) == []
    make_trainer(tmp_path, grid, max_steps=1).fit(technique, data)
    noun, words = ("dog", "qqq dog") if own is None else ("robot", "<robot>")
    assert technique.calls[0][1] == [f"a {noun}", f"a {noun}"]
    assert technique.calls[-1][1] == [f"a {words}", f"a {noun}"]


def test_a_field_that_nobody_knows_is_a_problem_that_names_the_key():
    grid = SampleGrid(["a {subject}"])
    [problem] = grid.problems_with(FakeData())
    assert "Expected `SampleGrid.prompts` to use no fields" in problem
    data = FakeData()
    data.prompt_fields = PromptFields.of_subjects([Subject("dog")])
    [problem] = SampleGrid(["a {subject}", "a dog"]).problems_with(data)
    assert "`prompts` to be a list of at least one value, all different" in problem


def test_the_bases_row_is_drawn_once_for_all_runs(micro_sd, tmp_path, monkeypatch):
    def draw(prompts, seeds, *, use_adapter, **_):
        drawn.append((list(prompts), use_adapter))
        return torch.rand(len(prompts), 3, 8, 8)

    monkeypatch.setenv("SDTUNE_CACHE", str(tmp_path))
    monkeypatch.setattr(sample_grid, "undisturbed", lambda *_: nullcontext())
    drawn: list = []
    technique = SimpleNamespace(model=load(micro_sd), generate=draw)
    trainer = SimpleNamespace(
        is_global_zero=True, strategy=SimpleNamespace(broadcast=lambda found: found)
    )
    first = SampleGrid(PROMPTS)._drawn(trainer, technique, None)
    assert SampleGrid(PROMPTS)._drawn(trainer, technique, None).equal(first)
    assert drawn == [(PROMPTS, False)]
    SampleGrid(PROMPTS, guidance_scale=2.0)._drawn(trainer, technique, None)
    add_token_embedding(technique.model, "<erica>", "c", 1)  # may be read in another way
    SampleGrid(PROMPTS)._drawn(trainer, technique, None)
    assert len(drawn) == 3
    for _ in range(2):  # what is tuned is never kept
        SampleGrid(PROMPTS)._drawn(trainer, technique, 4)
    assert drawn[3:] == [(PROMPTS, True)] * 2
