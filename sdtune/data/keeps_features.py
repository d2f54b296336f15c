"""What a data module keeps of its pictures between runs: their latents, and where they are."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from itertools import chain
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_info

from sdtune.data.encoded import Encode, Encoded
from sdtune.data.pictures import Crop, PictureDataset
from sdtune.files.cache_folder import default_cache_dir, size_words
from sdtune.files.feature_store import FeatureStore

__all__ = ["KeepsFeatures"]

log = logging.getLogger(__name__)


class KeepsFeatures(pl.LightningDataModule, ABC):
    """Part of the data modules of pictures: encodes them once, alone or with other processes.

    Attributes:
        crop: Where what is read is cut out of a picture.
        cached_views: Random crops of each picture that are kept.
        cache_dir: The cache; None is `$SDTUNE_CACHE` or `~/.cache/sdtune`.
    """

    crop: Crop
    cached_views: int
    cache_dir: str | Path | None
    _may_cache: bool

    def __init__(self) -> None:
        super().__init__()
        self._features: FeatureStore | None = None

    @property
    def can_cache_latents(self) -> bool:
        """Whether it is known before which pixels are shown, so that each is encoded once."""
        return self._may_cache and (self.crop == "center" or self.cached_views > 0)

    @property
    def features(self) -> FeatureStore:
        """Where what encoders make of pictures and captions is kept."""
        if self._features is None:
            self._features = FeatureStore(self._cache_folder() / "features")
        return self._features

    def cache_latents(self, encode: Encode, key: str, device: torch.device | str = "cpu") -> bool:
        """Encode every picture once; from then on batches hold `moments` in place of pixels.

        What earlier runs encoded is read from disk. Of several processes each encodes its share.

        Args:
            encode: The VAE: (B, 3, H, W) in [-1, 1] to (B, 2C, h, w) mean and log-variance.
            key: What the VAE is: its weights, its dtype. Another key never finds these latents.
            device: Where the VAE is.

        Returns:
            Whether that was done: not where latents would take more room than there is.

        Raises:
            RuntimeError: If every sample has a crop of its own, or caching is off.
        """
        if not self.can_cache_latents:
            raise RuntimeError(
                "Expected `crop` to be 'center', or `cached_views` to be above 0, and "
                f"`cache_latents` to be on, but got crop {self.crop!r}, cached_views "
                f"{self.cached_views} and cache_latents {self._may_cache}."
            )
        encoded = Encoded(self.features, key)
        rank, processes = self._rank()
        datasets = self._sized_datasets()
        needed = sum(dataset.encoded_bytes() for dataset in datasets)
        has_room = self.features.has_room(
            needed, lambda: chain.from_iterable(each.latent_keys(key) for each in datasets)
        )
        if processes > 1 and self.trainer is not None:
            # one decides: what others have written meanwhile would make the answers differ
            has_room = self.trainer.strategy.broadcast(has_room)
        if not has_room:
            rank_zero_info(
                f"data.cache_latents: latents would take {size_words(needed)}, and there is room "
                f"for {size_words(self.features.room())} in {self.features.folder}, so they are "
                "not kept; SDTUNE_CACHE_LIMIT allows more."
            )
            return False
        for dataset in datasets:
            if processes > 1 and self.trainer is not None:
                share = range(rank, len(dataset.pictures), processes)
                dataset.encode(encode, encoded, device, share)
                self.trainer.strategy.barrier("cache_latents")
                self.features.refresh()
            dataset.encode(encode, encoded, device)
            dataset.encoded = encoded
        log.info("The latents of all pictures are in %s.", self.features.folder)
        return True

    def fill_latents(
        self,
        encode: Encode,
        key: str,
        device: torch.device | str = "cpu",
        *,
        share: int,
        shares: int,
        resolution: int,
    ) -> None:
        """Encode a share of the pictures for later runs; batches go on holding pixels.

        Args:
            encode: See `cache_latents`.
            key: Likewise.
            device: Likewise.
            share: Which share, from 0.
            shares: How many there are.
            resolution: The model's own, in pixels, where the data module has none.
        """
        for dataset in self._built_datasets():
            dataset.resolution = dataset.resolution or resolution
            positions = range(share, len(dataset.pictures), shares)
            dataset.encode(encode, Encoded(self.features, key), device, positions)

    @abstractmethod
    def _built_datasets(self) -> tuple[PictureDataset, ...]:
        """Give the data sets, built if they were not."""

    @abstractmethod
    def _sized_datasets(self) -> tuple[PictureDataset, ...]:
        """Give the data sets, with the model's resolution if they have none."""

    def _cache_folder(self) -> Path:
        return Path(self.cache_dir).expanduser() if self.cache_dir else default_cache_dir()

    def _rank(self) -> tuple[int, int]:
        if self.trainer is None:
            return 0, 1
        return self.trainer.global_rank, self.trainer.world_size
