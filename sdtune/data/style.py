"""Pictures in one style, each with its caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sdtune._checks import check_not_negative, check_positive, check_share
from sdtune._prompt_fields import PromptFields, Reading
from sdtune._wording import counted
from sdtune.data.masked_scan import with_masks
from sdtune.data.picture_module import PictureDataModule
from sdtune.data.pictures import Picture, PictureDataset
from sdtune.data.scan import Scan, scan_folder
from sdtune.data.sources.locations import check_location, plain_location
from sdtune.data.sources.registry import check_source
from sdtune.data.split import held_out

__all__ = ["StyleDataModule"]


class StyleDataModule(PictureDataModule):
    """A folder of captioned pictures, to learn their style from.

    Captions lie beside the pictures (`cat.png`: `cat.txt` or `cat.caption`) or in the folder's
    `metadata.jsonl` or `metadata.csv` (`file_name`, `text`). Pictures are resized to cover a square
    and cropped. kohya's folders, Hugging Face's data sets and WebDataset shards are recognised and
    read too, see `sdtune.data.sources`; what a folder was taken for is said.

    Args:
        folder: Folder with the pictures, at any depth; or another location that a source knows,
            such as shards or a data set of the hub. Several of them are a mapping, {folder: how
            often an epoch shows its pictures}.
        batch_size: Samples in a batch, on each device.
        repeats: How often an epoch shows each picture.
        trigger: Words added to every caption after a comma, such as "openmoji style". They stay at
            its end; prompts of samples have them where they say `{trigger}`.
        validation_count: Pictures held out of training for the validation loss, chosen by what
            they show: one that is added can take the place of one of them.
        validation_share: Share of the pictures to hold out, in [0, 1): each stays on its side
            whatever is added.
        source: What reads the folder: `folder`, `kohya`, `imagefolder`, `saved_dataset`, `hub`,
            `webdataset` or one that was registered; None looks what it is.
        caption_column: Where tables and metadata hold captions; None finds it.
        image_column: Where tables hold pictures; None finds it.
        **kwargs: See `PictureDataModule`.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        folder: str | Path | dict[str, int],
        batch_size: int = 6,
        repeats: int = 1,
        trigger: str = "",
        validation_count: int = 0,
        validation_share: float = 0.0,
        source: str | None = None,
        caption_column: str | None = None,
        image_column: str | None = None,
        **kwargs: Any,
    ) -> None:
        folder = plain_location(folder)  # a Path in a checkpoint would need pickle to be read back
        super().__init__(
            [
                lambda: check_positive("repeats", repeats, of="integer"),
                lambda: check_not_negative("validation_count", validation_count),
                lambda: check_share("validation_share", validation_share),
                lambda: check_location("folder", folder),
                lambda: check_source(source),
            ],
            batch_size=batch_size,
            **kwargs,
        )
        self.folder = folder
        self.source = source
        self.caption_column = caption_column
        self.image_column = image_column
        self.repeats = repeats
        self.trigger = trigger
        if trigger:
            self.caption_rules = self.caption_rules.with_words(trigger)
        self.validation_count = validation_count
        self.validation_share = validation_share
        self._scan: Scan | None = None

    @property
    def prompt_fields(self) -> PromptFields:
        """What `{trigger}` reads in the prompts of samples: those words, of the base's as well."""
        return PromptFields({"trigger": Reading(self.trigger, self.trigger)})

    @property
    def location(self) -> dict[str, Any]:
        """Where the pictures are and what reads them, see `TrainingSet.from_folder`."""
        columns = {"caption_column": self.caption_column, "image_column": self.image_column}
        return {"folder": self.folder, "source": self.source, **columns, **self._skipping}

    def problems(self) -> list[str]:
        """List everything that keeps the folder from being trained on; reads files, no weights.

        Returns:
            One line each: a path, what is wrong with it, and what to do. Empty if all is well.
        """
        self._scan = None  # files may have changed
        scan = self._scanned()
        pictures, problems = scan.pictures, list(map(str, scan.problems))
        held = len(self._held_out(pictures))
        if pictures and held == len(pictures):
            where = self.folder if isinstance(self.folder, str) else ", ".join(self.folder)
            name = "validation_count" if self.validation_count else "validation_share"
            problems.append(
                f"{where}: holding out {held} of {counted(len(pictures), 'picture')} leaves none "
                "to train on (what looks alike stays on one side); lower "
                f"`data.{name}`, or add pictures."
            )
        return problems

    def found(self) -> list[str]:
        """Say what the folder was taken for and what was left out, a line each."""
        lines = self._scanned().lines("data.folder")
        count, held = self.validation_count, len(self._held_out(self._scanned().pictures))
        if count and not self.validation_share and held > count:
            lines.append(
                f"data.validation_count: {held} pictures are held out in place of {count}, for "
                "copies and pictures that look alike stay on one side."
            )
        return lines + self._notes()

    def build_datasets(self) -> tuple[PictureDataset, PictureDataset]:
        """Split the folder, see `held_out`."""
        pictures = self._scanned().pictures
        held = self._held_out(pictures)
        is_held = frozenset(held)
        train = PictureDataset(
            [picture for index, picture in enumerate(pictures) if index not in is_held],
            resolution=self.resolution,
            crop=self.crop,
            buckets=self.buckets,
            flip=self.flip,
            repeats=self.repeats,
            caption_dropout=self.caption_dropout,
            caption_rules=self.caption_rules,
            unmasked_weight=self.unmasked_weight,
            cached_views=self.cached_views,
            seed=self.seed,
        )
        validation = PictureDataset(
            [replace(pictures[index], repeats=1, other_captions=()) for index in held],
            resolution=self.resolution,
            buckets=self.buckets,
            caption_rules=self.caption_rules.undrawn(),
            unmasked_weight=self.unmasked_weight,
        )
        return train, validation

    def left_out(self) -> list[str]:
        """List what is wrong with the pictures that are left out, a line each."""
        return list(map(str, self._scanned().left_out))

    def _held_out(self, pictures: Sequence[Picture]) -> list[int]:
        count, share = self.validation_count, self.validation_share
        return held_out(pictures, self.seed, count=count, share=share)

    def _scanned(self) -> Scan:
        if self._scan is None:
            scan = scan_folder(
                self.folder,
                cache_dir=self.cache_dir,
                source=self.source,
                caption_column=self.caption_column,
                image_column=self.image_column,
                on_problem=self.on_problem,
            )
            self._scan = with_masks(scan, self.unmasked_weight, self.on_problem)
        return self._scan
