"""Scenes as a LightningDataModule."""

from collections.abc import Iterator
from inspect import currentframe
from pathlib import Path
from typing import TypedDict

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from sdtune.nano.making.scenes import Scene, SceneComposer, with_made_up_word
from sdtune.nano.making.sprites import SpriteBook

__all__ = ["SceneBatch", "SceneDataModule", "SceneDataset"]


class SceneBatch(TypedDict):
    """Pictures with their captions.

    Attributes:
        pixel_values: (B, 3, size, size) float32 in [-1, 1].
        caption: B texts.
    """

    pixel_values: Tensor
    caption: list[str]


class SceneDataset(IterableDataset[SceneBatch]):
    """Batches of scenes whose numbers run from `start` without end, or up to `stop`.

    Worker w of n makes every n-th batch, so that the loader yields them in the order of their
    numbers whatever the count of workers.

    Args:
        composer: composes scene i.
        size: width and height in pixels.
        batch_size: scenes in a batch.
        start: number of the first scene.
        stop: number after the last scene; None has no end.
        stride: distance between the first scenes of two batches; batch_size times the number of
            processes that share the list.
        made_up_word_share: share of captions with a word that means nothing, in [0, 1].
    """

    def __init__(
        self,
        composer: SceneComposer,
        size: int,
        batch_size: int,
        start: int = 0,
        stop: int | None = None,
        stride: int | None = None,
        made_up_word_share: float = 0.0,
    ) -> None:
        self.composer = composer
        self.size = size
        self.batch_size = batch_size
        self.start = start
        self.stop = stop
        self.stride = stride or batch_size
        self.made_up_word_share = made_up_word_share

    def __iter__(self) -> Iterator[SceneBatch]:
        worker = get_worker_info()
        index, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        first = self.start + index * self.stride
        while self.stop is None or first < self.stop:
            yield self.batch(range(first, min(first + self.batch_size, self.stop or 2**63)))
            first += workers * self.stride

    def batch(self, numbers: range) -> SceneBatch:
        """Draw the scenes of these numbers."""
        scenes = [self.composer.scene(number) for number in numbers]
        pictures = np.stack([scene.draw(self.composer.book.sprites, self.size) for scene in scenes])
        pixel_values = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
        return {
            "pixel_values": pixel_values.contiguous(memory_format=torch.channels_last),
            "caption": [
                self._caption(scene, number) for scene, number in zip(scenes, numbers, strict=True)
            ],
        }

    def _caption(self, scene: Scene, number: int) -> str:
        # a stream of its own, so that the share changes captions and no picture
        rng = np.random.Generator(np.random.Philox(key=[self.composer.seed + 2**62, number]))
        if rng.random() >= self.made_up_word_share:
            return scene.caption
        return with_made_up_word(scene.caption, rng)


class SceneDataModule(L.LightningDataModule):
    """Endless training scenes, and a fixed list of others for validation.

    A resumed run goes on with the scenes after those that it has seen: scene numbers follow from
    the Trainer's step count.

    Args:
        sprites: zip file made by `python -m sdtune.nano sprites`.
        size: width and height of a picture in pixels.
        batch_size: scenes in a batch on each device.
        seed: seed of the training scenes; validation uses `seed + 1`.
        pair_share: share of scenes with two objects, in [0, 1].
        well_known_share: share of scenes drawn from the well-known objects alone, in [0, 1].
        complete_captions: name background and style in every caption.
        family_size: training scenes in a row that are hard to tell apart, as `SceneComposer` has
            it; 1 makes all independent.
        made_up_word_share: share of training captions with a word that means nothing, in [0, 1].
            A text encoder that has met such words reads "a qqq cat" as a cat, as DreamBooth needs.
        validation_scenes: number of validation scenes.
        num_workers: processes that draw scenes.

    Raises:
        FileNotFoundError: the sprite file does not exist.
    """

    def __init__(
        self,
        sprites: str,
        size: int = 64,
        batch_size: int = 32,
        seed: int = 0,
        pair_share: float = 0.1,
        well_known_share: float = 0.4,
        complete_captions: bool = False,
        family_size: int = 1,
        made_up_word_share: float = 0.0,
        validation_scenes: int = 512,
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        if not Path(sprites).exists():
            raise FileNotFoundError(
                f"Expected `data.sprites` to be a sprite file, but {sprites} does not exist: "
                "make it with `python -m sdtune.nano sprites`."
            )
        self.save_hyperparameters(frame=currentframe())  # else Lightning keeps it
        self.sprites = Path(sprites)
        self.size = size
        self.batch_size = batch_size
        self.seed = seed
        self.pair_share = pair_share
        self.well_known_share = well_known_share
        self.complete_captions = complete_captions
        self.family_size = family_size
        self.made_up_word_share = made_up_word_share
        self.validation_scenes = validation_scenes
        self.num_workers = num_workers

    def setup(self, stage: str) -> None:
        """Decode the sprites."""
        self.book = SpriteBook(self.sprites)

    def train_dataloader(self) -> DataLoader[SceneBatch]:
        """Return the loader of the scenes that come after the Trainer's step count."""
        trainer = self.trainer
        stride = self.batch_size * (trainer.world_size if trainer else 1)
        seen, rank = 0, 0
        if trainer is not None:
            seen = trainer.global_step * trainer.accumulate_grad_batches * stride
            rank = trainer.global_rank
        composer = SceneComposer(
            self.book,
            self.seed,
            self.pair_share,
            self.well_known_share,
            self.complete_captions,
            self.family_size,
        )
        dataset = SceneDataset(
            composer,
            self.size,
            self.batch_size,
            seen + rank * self.batch_size,
            stride=stride,
            made_up_word_share=self.made_up_word_share,
        )
        return DataLoader(dataset, batch_size=None, num_workers=self.num_workers)

    def val_dataloader(self) -> DataLoader[SceneBatch]:
        """Return the loader of the validation scenes: complete captions, all objects alike."""
        composer = SceneComposer(
            self.book, self.seed + 1, pair_share=0.0, well_known_share=0.0, complete_captions=True
        )
        dataset = SceneDataset(composer, self.size, 64, stop=self.validation_scenes)
        return DataLoader(dataset, batch_size=None)
