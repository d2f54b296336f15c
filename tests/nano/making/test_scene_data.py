"""Batches of scenes: the same whatever the workers, and after a resume."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lightning.pytorch.demos.boring_classes import BoringModel
from torch.utils.data import DataLoader

from sdtune.nano.making.scene_data import SceneDataModule, SceneDataset
from sdtune.nano.making.scenes import SceneComposer
from sdtune.nano.making.sprites import SpriteBook
from tests.quiet_trainer import quiet_trainer


class _Recorder(BoringModel):
    """Remembers the captions that it is trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.captions: list[list[str]] = []

    def training_step(self, batch: dict, batch_idx: int) -> torch.Tensor:
        self.captions.append(batch["caption"])
        return self.layer(torch.ones(1, 32)).sum()

    def val_dataloader(self) -> list:
        return []


def _fit(sprites: Path, max_steps: int, ckpt_path: Path | None = None) -> tuple:
    model = _Recorder()
    trainer = quiet_trainer(max_steps=max_steps, limit_val_batches=0)
    trainer.fit(model, SceneDataModule(str(sprites), batch_size=2), ckpt_path=ckpt_path)
    return trainer, model.captions


def test_pixel_values_are_in_range(sprites: Path) -> None:
    data = SceneDataModule(str(sprites), size=64, batch_size=4)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert batch["pixel_values"].shape == (4, 3, 64, 64)
    assert batch["pixel_values"].dtype == torch.float32
    assert -1 <= batch["pixel_values"].min() < batch["pixel_values"].max() <= 1
    assert len(batch["caption"]) == 4


def test_workers_change_nothing(sprites: Path) -> None:
    composer = SceneComposer(SpriteBook(sprites))
    dataset = SceneDataset(composer, 16, batch_size=3, stop=20)
    lists = [
        [batch["caption"] for batch in DataLoader(dataset, batch_size=None, num_workers=workers)]
        for workers in (0, 2)
    ]
    assert lists[0] == lists[1]
    assert [len(batch) for batch in lists[0]] == [3] * 6 + [2]


def test_made_up_words_come_into_captions_and_change_no_picture(sprites: Path) -> None:
    composer = SceneComposer(SpriteBook(sprites))
    plain = SceneDataset(composer, 16, batch_size=200).batch(range(200))
    mixed = SceneDataset(composer, 16, batch_size=200, made_up_word_share=0.25).batch(range(200))
    assert torch.equal(plain["pixel_values"], mixed["pixel_values"])
    changed = 0
    for before, after in zip(plain["caption"], mixed["caption"], strict=True):
        before, after = before.split(" "), after.split(" ")
        if before != after:
            changed += 1
            assert before in [after[:k] + after[k + 1 :] for k in range(len(before))]
    assert changed == pytest.approx(50, abs=20)


def test_validation_has_no_made_up_words(sprites: Path) -> None:
    batches = []
    for share in (0.0, 1.0):
        data = SceneDataModule(str(sprites), size=16, validation_scenes=8, made_up_word_share=share)
        data.setup("fit")
        batches.append(next(iter(data.val_dataloader()))["caption"])
    assert batches[0] == batches[1]


def test_two_devices_share_the_list(sprites: Path) -> None:
    composer = SceneComposer(SpriteBook(sprites))
    whole = SceneDataset(composer, 16, batch_size=4, stop=16)
    halves = [
        SceneDataset(composer, 16, batch_size=2, start=2 * rank, stop=16, stride=4)
        for rank in (0, 1)
    ]
    together = zip(*halves, strict=True)
    joined = [first["caption"] + second["caption"] for first, second in together]
    assert joined == [batch["caption"] for batch in whole]


def test_a_resumed_run_goes_on_with_the_next_scenes(sprites: Path, tmp_path: Path) -> None:
    _, whole = _fit(sprites, max_steps=6)
    trainer, first = _fit(sprites, max_steps=4)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    _, second = _fit(sprites, max_steps=6, ckpt_path=tmp_path / "last.ckpt")
    assert first + second == whole


def test_a_missing_sprite_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"`data.sprites` to be a sprite file"):
        SceneDataModule(str(tmp_path / "none.zip"))
