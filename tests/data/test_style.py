import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.demos.boring_classes import BoringModel

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
