import shutil
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.loggers import CSVLogger
from PIL import Image

from sdtune.data.problems import DataError
from sdtune.data.style import StyleDataModule
from sdtune.files.feature_store import FeatureStore


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"repeats": 0}, "Expected `repeats` to be a positive integer, but got 0"),
        ({"caption_dropout": 1.5}, r"Expected `caption_dropout` to be in \[0, 1\], but got 1.5"),
        ({"validation_count": -1}, "Expected `validation_count` to be 0 or more, but got -1"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        StyleDataModule("anywhere", **arguments)


def test_problems_are_raised_before_training_and_all_at_once(make_folder):
    folder = make_folder(3)
    (folder / "00.png").write_bytes(b"no picture")
    (folder / "01.png").unlink()
    (folder / "02.txt").write_text("")
    data = StyleDataModule(folder)
    problems = data.problems()
    assert [problem.split(": ")[0] for problem in problems] == [
        f"{folder}/00.png",
        f"{folder}/01.txt",
        f"{folder}/02.txt",
    ]
    with pytest.raises(DataError) as caught:
        pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False).fit(
            BoringModel(), data
        )
    assert caught.value.problems == problems


@pytest.mark.parametrize("name", ["gone", "empty"])
def test_a_missing_and_an_empty_folder_are_problems(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (problem,) = StyleDataModule(tmp_path / name).problems()
    assert problem.startswith(f"{tmp_path / name}: ")


def test_holding_out_everything_is_a_problem(make_folder):
    folder = make_folder(3)
    assert StyleDataModule(folder, validation_count=2).problems() == []
    (problem,) = StyleDataModule(folder, validation_count=3).problems()
    assert "holding out 3 of 3 pictures leaves none to train on" in problem


def test_the_split_is_by_content(make_folder):
    folder = make_folder(12)

    def held(**options):
        data = StyleDataModule(folder, resolution=8, cache_latents=False, **options)
        train, validation = data.train_dataset.pictures, data.val_dataset.pictures
        assert len(train) + len(validation) == len(list(folder.glob("*.png")))
        return {picture.name for picture in validation}

    by_count, by_share = held(validation_count=3), held(validation_share=0.3)
    assert len(by_count) == 3
    assert 0 < len(by_share) < 9
    copied = sorted(by_count & by_share)[0]
    copy = f"zz{copied}"
    shutil.copy(folder / copied, folder / copy)
    (folder / copy).with_suffix(".txt").write_text("a copy")
    # copies stay on one side
    assert held(validation_share=0.3) == by_share | {copy}
    assert {copied, copy} <= held(validation_count=3)
    (folder / copy).unlink()
    (folder / copy).with_suffix(".txt").unlink()
    moved = set()
    for number in range(20):
        Image.new("RGB", (24, 16), (number, 0, 0)).save(folder / f"a{number}.png")
        (folder / f"a{number}.txt").write_text("new")
        new = {f"a{each}.png" for each in range(number + 1)}
        assert held(validation_share=0.3) - new == by_share
        count = held(validation_count=3)
        assert len(count) == 3
        assert count - new <= by_count  # none moves into validation
        moved |= by_count - count
    assert moved
    (folder / "00.png").rename(folder / "renamed.png")
    (folder / "00.txt").rename(folder / "renamed.txt")
    renamed = {"renamed.png" if name == "00.png" else name for name in by_share}
    assert held(validation_share=0.3) - new == renamed


def test_bad_pictures_may_be_left_out(make_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("SDTUNE_CACHE", str(tmp_path / "cache"))
    folder = make_folder(6)
    (folder / "00.png").write_bytes(b"no picture")
    (folder / "01.png").unlink()
    (folder / "02.txt").write_text("")
    (folder / "metadata.jsonl").write_text('{"file_name": "03.png", "text": "something else"}')
    expected = StyleDataModule(folder, resolution=8).problems()
    data = StyleDataModule(folder, resolution=8, batch_size=1, on_problem="skip")
    assert data.problems() == []
    assert data.left_out() == expected
    assert len(expected) == 4
    said = [line for line in data.found() if "on_problem" in line]
    path = Path(said[0].rpartition(" ")[2])
    assert path.is_relative_to(tmp_path / "cache")
    assert said[0].startswith("data.on_problem: pictures with 4 problems are left out, listed in")
    assert path.read_text().splitlines() == expected
    trainer = pl.Trainer(
        accelerator="cpu", max_steps=1, default_root_dir=tmp_path, logger=CSVLogger(tmp_path),
        enable_checkpointing=False, enable_progress_bar=False, barebones=False,
    )  # fmt: skip
    trainer.fit(PassesBy(), data)
    assert [picture.name for picture in data.train_dataset.pictures] == ["04.png", "05.png"]
    list_of_run = Path(trainer.log_dir) / "left_out.txt"
    assert list_of_run.read_text().splitlines() == expected


class PassesBy(BoringModel):
    def training_step(self, batch, batch_idx):
        return super().training_step(torch.zeros(2, 32), batch_idx)

    train_dataloader = val_dataloader = None


def test_what_leaves_nothing_is_a_problem_though_bad_pictures_are_left_out(make_folder, tmp_path):
    bad = make_folder(2, name="bad")
    for path in bad.glob("*.png"):
        path.write_bytes(b"no picture")
    assert len(StyleDataModule(bad, on_problem="skip").problems()) == 2
    good = make_folder(2, name="good")
    (problem,) = StyleDataModule({good: 1, tmp_path / "gone": 1}, on_problem="skip").problems()
    assert problem.startswith(f"{tmp_path / 'gone'}: there is no such folder")
    with pytest.raises(ValueError, match="Expected `on_problem` to be 'error' or 'skip'"):
        StyleDataModule(good, on_problem="ignore")


def test_a_long_list_is_cut_and_all_of_it_in_a_file(make_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("SDTUNE_CACHE", str(tmp_path / "cache"))
    folder = make_folder(30)
    for path in folder.glob("*.png"):
        path.write_bytes(b"no picture")
    with pytest.raises(DataError) as caught:
        StyleDataModule(folder).setup("fit")
    assert len(caught.value.problems) == 30
    lines = str(caught.value).splitlines()
    assert len(lines) == 22
    assert "and 10 more: all 30 are in " in lines[-1]
    path = Path(lines[-1].rpartition(" ")[2])
    assert path.read_text().splitlines() == caught.value.problems


def test_the_split_depends_on_the_seed(make_folder):
    folder = make_folder(12)

    def split(seed):
        data = StyleDataModule(folder, resolution=8, validation_count=3, seed=seed)
        return [
            [picture.name for picture in dataset.pictures]
            for dataset in (data.train_dataset, data.val_dataset)
        ]

    train, held_out = split(1)
    assert (len(train), len(held_out)) == (9, 3)
    assert sorted(train + held_out) == [f"{index:02}.png" for index in range(12)]
    assert train == sorted(train)
    assert split(1) == [train, held_out]
    assert any(split(seed)[1] != held_out for seed in (2, 3))


def test_held_out_pictures_are_never_changed(make_folder):
    data = StyleDataModule(
        make_folder(6),
        resolution=8,
        validation_count=4,
        crop="random",
        flip=True,
        repeats=5,
        caption_dropout=1.0,
        trigger="in sks style",
    )
    plain = StyleDataModule(data.folder, resolution=8, validation_count=4, trigger="in sks style")
    assert len(data.train_dataset) == 10
    (batch,), (expected,) = (list(module.val_dataloader()) for module in (data, plain))
    assert torch.equal(batch["pixel_values"], expected["pixel_values"])
    assert batch["caption"] == expected["caption"]
    assert all(caption.endswith(", in sks style") for caption in batch["caption"])
    assert not any(caption for batch in data.train_dataloader() for caption in batch["caption"])


def test_nothing_held_out_means_no_loader(make_folder):
    assert StyleDataModule(make_folder(2), resolution=8).val_dataloader() == []


def test_captions_cover_every_batch(make_folder):
    data = StyleDataModule(
        make_folder(6), resolution=8, validation_count=2, caption_dropout=0.5, trigger="sks"
    )
    captions = data.captions()
    assert len(captions) == len(set(captions)) == 7
    assert "" in captions
    for loader in (data.train_dataloader(), data.val_dataloader()):
        assert all(caption in captions for batch in loader for caption in batch["caption"])


class CachingModule(BoringModel):
    def on_fit_start(self):
        self.trainer.datamodule.cache_latents(lambda pixels: pixels[:, :, ::4, ::4], "vae")

    def training_step(self, batch, batch_idx):
        assert batch["moments"].shape[1:] == (3, 2, 2)
        assert len(batch["caption"]) == len(batch["index"]) == len(batch["moments"])
        self.log("train/loss", 1.0)
        return super().training_step(torch.zeros(2, 32), batch_idx)

    def validation_step(self, batch, batch_idx):
        assert batch["moments"].shape == (2, 3, 2, 2)

    def train_dataloader(self):
        raise AssertionError

    val_dataloader = train_dataloader


@pytest.mark.filterwarnings("ignore")
def test_a_module_may_cache_when_the_fit_starts(make_folder, tmp_path):
    data = StyleDataModule(
        make_folder(7), resolution=8, batch_size=2, validation_count=2, cache_dir=tmp_path / "cache"
    )
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=2, default_root_dir=tmp_path, enable_progress_bar=False
    )
    trainer.fit(CachingModule(), data)
    assert trainer.global_step == 6
    assert len(FeatureStore(tmp_path / "cache" / "features")) == 7


def test_hyperparameters_can_be_read_back_without_pickle(make_folder, tmp_path):
    data = StyleDataModule(make_folder(2), batch_size=1, cache_dir=tmp_path)
    torch.save(dict(data.hparams), tmp_path / "hparams.pt")
    hparams = torch.load(tmp_path / "hparams.pt", weights_only=True)
    assert hparams["folder"] == data.folder
    assert not {"seed", "cache_dir"} & hparams.keys()
