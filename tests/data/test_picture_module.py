import gc
import logging
import os
import weakref
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from sdtune.data import image_folder
from sdtune.data.buckets import BucketSettings
from sdtune.data.problems import DataError
from sdtune.data.style import StyleDataModule
from sdtune.data.survey_file import read_survey

# the base class is abstract: it is tested through the style's


@pytest.fixture
def make_data(make_folder, tmp_path):
    folder = make_folder(7, size=(24, 16))
    defaults = {"resolution": 16, "batch_size": 3, "cache_dir": tmp_path / "cache"}
    return lambda **changes: StyleDataModule(folder, **{**defaults, **changes})


def _encode(pixel_values):
    return torch.nn.functional.avg_pool2d(pixel_values, 4).repeat(1, 3, 1, 1)[:, :8]


def _indices(loader):
    return [index for batch in loader for index in batch["index"]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"resolution": 12}, "Expected `resolution` to be a positive multiple of 8, but got 12"),
        ({"resolution": 0}, "Expected `resolution`"),
        ({"batch_size": 0}, "Expected `batch_size` to be a positive integer, but got 0"),
        ({"crop": "left"}, "Expected `crop` to be 'center' or 'random', but got 'left'"),
        ({"num_workers": -1}, "Expected `num_workers` to be 0 or more, but got -1"),
    ],
)
def test_arguments_are_checked(make_data, arguments, message):
    with pytest.raises(ValueError, match=message):
        make_data(**arguments)


def test_a_batch_holds_what_a_technique_needs(make_data):
    loader = make_data().train_dataloader()
    assert len(loader) == 3
    batch = next(iter(loader))
    assert batch["pixel_values"].shape == (3, 3, 16, 16)
    assert batch["pixel_values"].dtype == torch.float32
    assert all(type(index) is int for index in batch["index"])
    for index, name, caption in zip(batch["index"], batch["name"], batch["caption"], strict=True):
        assert name == f"{index:02}.png"
        assert caption == f"a drawing of thing {index}"


def test_setup_raises_what_problems_lists(make_data):
    data = make_data(validation_count=7)
    with pytest.raises(DataError) as caught:
        data.setup("fit")
    assert caught.value.problems == data.problems()


def test_cached_batches_hold_moments_in_the_same_order(make_data):
    plain, cached = make_data(validation_count=2), make_data(validation_count=2, num_workers=4)
    cached.cache_latents(_encode, "vae")
    assert cached.train_dataloader().num_workers == 0
    loaders = (
        (plain.train_dataloader(), cached.train_dataloader()),
        (plain.val_dataloader(), cached.val_dataloader()),
    )
    for expected, found in loaders:
        for one, other in zip(expected, found, strict=True):
            assert one["caption"] == other["caption"]
            torch.testing.assert_close(_encode(one["pixel_values"]), other["moments"])


def test_workers_are_chosen_where_pictures_are_read(make_data, make_folder, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(4), raising=False)
    data = StyleDataModule(make_folder(2, (640, 480), name="large"), resolution=16)
    assert data.train_dataloader().num_workers == 4
    assert make_data().train_dataloader().num_workers == 0  # small ones
    assert make_data(num_workers=1).train_dataloader().num_workers == 1
    data.cache_latents(_encode, "vae")
    assert data.train_dataloader().num_workers == 0


def test_what_random_crops_mean_for_the_cache_is_said(make_data):
    (_, line) = make_data(crop="random").found()
    assert "no latents are kept; `data.cached_views` keeps some" in line
    data = make_data(crop="random", cached_views=2)
    (_, line) = data.found()
    assert "2 random crops of each picture are encoded once" in line
    assert data.can_cache_latents
    data.cache_latents(_encode, "vae")
    assert len(data.features) == 14
    assert all("moments" in batch for batch in data.train_dataloader())
    assert len(make_data().found()) == 1


def test_what_is_random_is_not_cached(make_data):
    assert make_data(flip=True, caption_dropout=0.5).can_cache_latents
    assert not make_data(cache_latents=False).can_cache_latents
    data = make_data(crop="random")
    assert not data.can_cache_latents
    with pytest.raises(RuntimeError, match="Expected `crop` to be 'center', or `cached_views`"):
        data.cache_latents(_encode, "vae")


def test_processes_share_the_encoding_and_the_samples(make_data):
    encoded = [0, 0]
    modules = [make_data(), make_data()]

    def encode(rank):
        def count(pixel_values):
            encoded[rank] += 1
            return _encode(pixel_values)

        return count

    def trainer(rank, barrier):
        fit_loop = SimpleNamespace(
            is_resuming=False,
            epoch_progress=SimpleNamespace(current=SimpleNamespace(processed=0, started=0)),
            epoch_loop=SimpleNamespace(batch_progress=None),
        )
        return SimpleNamespace(
            global_rank=rank,
            world_size=2,
            strategy=SimpleNamespace(barrier=barrier, broadcast=lambda value: value),
            fit_loop=fit_loop,
            lightning_module=None,
            overfit_batches=0,
        )

    def second_process(_name):
        modules[1].trainer = trainer(1, lambda name: None)
        modules[1].cache_latents(encode(1), "vae")

    modules[0].trainer = trainer(0, second_process)
    modules[0].cache_latents(encode(0), "vae")
    assert encoded == [4, 3]
    shares = [_indices(module.train_dataloader()) for module in modules]
    assert len(shares[0]) == len(shares[1]) == 4
    assert set(shares[0] + shares[1]) == set(range(7))


def test_the_first_process_says_whether_there_is_room_for_all(make_data, monkeypatch):
    """What it has written by the time that another looks would be waited for by one alone."""
    monkeypatch.setattr("sdtune.files.feature_store.FeatureStore.room", lambda store: 0)
    asked = []
    strategy = SimpleNamespace(
        barrier=lambda name: None, broadcast=lambda value: asked.append(value) or True
    )
    data = make_data()
    data.trainer = SimpleNamespace(global_rank=1, world_size=2, strategy=strategy)
    assert data.cache_latents(_encode, "vae")
    assert asked == [False]


def test_the_resolution_may_be_the_models(make_data):
    data = make_data(resolution=None)
    data.setup("fit")
    assert data.captions()
    assert data.survey() is None
    assert data.survey(16).resolution == 16
    data.trainer = SimpleNamespace(
        lightning_module=SimpleNamespace(model=SimpleNamespace(resolution=8))
    )
    assert data.train_dataset[0]["pixel_values"].shape == (3, 8, 8)


def test_the_start_of_a_run_says_what_the_pictures_come_to(make_data, caplog, tmp_path):
    data = make_data(resolution=32, validation_count=2)
    logger = SimpleNamespace(log_dir=str(tmp_path / "run"))
    data.trainer = SimpleNamespace(
        global_rank=0, world_size=1, logger=logger, overfit_batches=0, num_devices=1,
        lightning_module=None, current_epoch=0, fit_loop=SimpleNamespace(epoch_loop=None),
        optimizers=[],
    )  # fmt: skip
    told = []
    data.survey_listeners.append(lambda *each: told.append(each))
    with caplog.at_level(logging.INFO):
        data._tell_survey()
        assert not caplog.text
        assert not told  # it is a schedule that counts batches
        data.trainer.optimizers.append("adamw")
        data._tell_survey()
    ((survey, folder),) = told
    assert (len(survey.pictures), folder) == (7, tmp_path / "run")
    assert "data: 7 pictures at 40x24; 90 % of the pixels are kept." in caplog.text
    assert ".png is 24x16 pixels and is enlarged to 40x24" in caplog.text
    assert "and 4 more, see `sdtune check`" in caplog.text
    recorded = read_survey(tmp_path / "run")
    assert (recorded.pictures, recorded.counts) == (7, {"enlarged": 7})
    assert [(each.size, each.samples) for each in recorded.buckets] == [((40, 24), 5)]


def test_buckets_that_do_not_fit_the_model_are_a_problem_before_it_is_loaded(make_data):
    data = make_data(resolution=None, buckets=BucketSettings(smallest=64))
    assert data.problems_at(64) == []
    (problem,) = data.problems_at(32)
    assert "smallest <= resolution" in problem
    with pytest.raises(ValueError, match="smallest <= resolution"):
        data.survey(32)


def test_loading_leaves_the_global_random_state_alone(make_data):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    list(make_data().train_dataloader())
    assert torch.equal(torch.get_rng_state(), before)


def test_what_was_just_checked_is_not_scanned_again(make_data, monkeypatch):
    data = make_data()
    walked = []
    walk = image_folder._walk
    monkeypatch.setattr(
        image_folder, "_walk", lambda each, links: (walked.append(each), walk(each, links))[1]
    )
    assert data.problems() == []
    data.take_as_checked()
    assert data.captions()
    data.setup("fit")
    assert len(data.train_dataset) == 7
    assert walked == [Path(data.folder)]
    data.setup("fit")  # another fit, and files may have changed
    assert walked == [Path(data.folder)] * 2


def test_setup_reads_the_folder_anew(make_data):
    data = make_data()
    data.setup("fit")
    picture = data.train_dataset.pictures[0]
    picture.path.with_suffix(".txt").write_text("changed")
    data.setup("fit")
    assert data.captions()[0] == "changed"


def test_who_makes_a_module_is_not_kept_by_it(make_data):
    # workers of a loader that waits for the garbage collector take five seconds each to end

    def use():
        loader = make_data(num_workers=1).train_dataloader()
        assert len(list(loader)) == 3
        return weakref.ref(loader)

    gc.disable()
    try:
        assert use()() is None
    finally:
        gc.enable()
