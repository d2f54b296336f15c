"""What every LightningDataModule of captioned pictures shares: loaders, resume, cached latents."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from inspect import currentframe
from pathlib import Path
from typing import Any, ClassVar

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_info

from sdtune._arguments import whole_signature
from sdtune._checks import check_all, check_not_negative, check_positive, check_share, check_types
from sdtune._prompt_fields import PromptFields
from sdtune.data.buckets import DEFAULT_BUCKETS, BucketSettings
from sdtune.data.caption_rules import CaptionRules
from sdtune.data.keeps_features import KeepsFeatures
from sdtune.data.left_out import left_out_notes, list_left_out
from sdtune.data.module_checks import check_buckets, check_crop, check_resolution, settings_of
from sdtune.data.order import Batches, BatchOrder, FixedBatchOrder, ResumableLoader, as_it_is
from sdtune.data.pictures import Crop, Picture, PictureDataset, crops_note
from sdtune.data.problems import DataError, OnProblem, check_on_problem
from sdtune.data.resume import resume_position
from sdtune.data.survey import Survey, survey_pictures
from sdtune.data.survey_file import SURVEY, write_survey
from sdtune.data.survey_words import survey_lines
from sdtune.data.uncollected import uncollected
from sdtune.data.workers import choose_workers

__all__ = ["PictureDataModule"]

log = logging.getLogger(__name__)

_NAMED = 3  # pictures of each list, at the start of a run; `sdtune check` names more


class PictureDataModule(KeepsFeatures):
    """Base of the data modules: a subclass says which pictures, and what is wrong with them.

    A data module declares its own arguments and takes those below by `**kwargs`, which it hands on
    here: so they stand once, and are options of the command line, keys of a recipe and part of
    `inspect.signature` for all data modules.

    Args:
        checks: What the subclass checks of its own arguments, see `check_all`. Nobody types it.
        resolution: Side of the square, in pixels, a multiple of 8; None takes the model's own.
        batch_size: Training samples in a batch, on each device; class pictures come on top.
        crop: Where what is read is cut out. "random" moves it every epoch, and then latents cannot
            be cached.
        buckets: Sizes of about the square's area; each picture has the one that fits it best,
            `step`, `smallest` and `largest` in pixels and `enlarge`. None makes all square.
        flip: Whether half of the training samples are mirrored, left to right.
        caption_dropout: Share of the training samples that get an empty caption, in [0, 1]; lets
            the adapter learn the unconditional half of guidance.
        shuffle_tags: Whether each training sample has a caption's tags (`a, b`) in a new order.
        tag_dropout: Share of the tags that a training sample leaves out, in [0, 1].
        keep_tokens: Tags at a caption's beginning that stay in their place.
        caption_prefix: Words before every caption, which are neither moved nor left out.
        caption_suffix: Words after every caption, likewise.
        unmasked_weight: Weight in the loss of what a mask beside a picture (`cat_mask.png`, white
            where it counts), or its transparency, leaves out, in [0, 1]; None uses no masks.
        num_workers: Processes that read pictures; None chooses by the processor's cores, and none
            where pictures are small. Cached latents need none.
        cache_latents: Whether every picture is encoded once and kept, unless every sample has a
            random crop of its own.
        cached_views: Random crops of each picture that are kept, of which each sample draws one;
            0 keeps none, and each sample is cropped anew.
        on_problem: What becomes of pictures that cannot be used: "error" lists them and starts
            nothing, "skip" goes on without them and writes the list into the run's folder.
        cache_dir: Folder for cached latents and for pictures that are made; None is
            `$SDTUNE_CACHE` or `~/.cache/sdtune`.
        seed: Seed of all that is random: order, crop, flip, templates, caption dropout, validation
            split, and pictures that are made.

    Attributes:
        survey_listeners: Called at the start of training with what the pictures come to, and the
            run's folder, by the first process.

    Raises:
        ValueError: If arguments are out of their ranges, with a line for each.
    """

    made: ClassVar[Collection[str]] = ("checks",)
    """Arguments that a data module makes out of its own, and nobody types."""

    def __init__(
        self,
        checks: Sequence[Callable[[], None]] = (),
        *,
        resolution: int | None = None,
        batch_size: int = 1,
        crop: Crop = "center",
        buckets: BucketSettings | None = DEFAULT_BUCKETS,
        flip: bool = False,
        caption_dropout: float = 0.0,
        shuffle_tags: bool = False,
        tag_dropout: float = 0.0,
        keep_tokens: int = 0,
        caption_prefix: str = "",
        caption_suffix: str = "",
        unmasked_weight: float | None = None,
        num_workers: int | None = None,
        cache_latents: bool = True,
        cached_views: int = 0,
        on_problem: OnProblem = "error",
        cache_dir: str | Path | None = None,
        seed: int = 42,
    ) -> None:
        super().__init__()
        buckets = settings_of("buckets", BucketSettings, buckets)
        # a subclass's own arguments too, in plain values: a class of ours would need pickle to be
        # read back. The seed is the model's too, and Lightning refuses two values for one name
        ignored = ["seed", "cache_dir", "num_workers", "buckets"]
        self.save_hyperparameters(ignore=[*self.made, *ignored], frame=currentframe())
        check_types(type(self), {**self.hparams, "seed": seed, "num_workers": num_workers})
        rules = CaptionRules(caption_prefix, caption_suffix, shuffle_tags, tag_dropout, keep_tokens)
        check_all(
            lambda: check_resolution(resolution),
            lambda: check_positive("batch_size", batch_size, of="integer"),
            lambda: check_crop(crop),
            lambda: check_buckets(buckets, resolution),
            lambda: check_share("caption_dropout", caption_dropout),
            rules.check,
            lambda: check_share("unmasked_weight", unmasked_weight or 0.0),
            lambda: check_not_negative("num_workers", num_workers or 0),
            lambda: check_not_negative("cached_views", cached_views),
            lambda: check_on_problem(on_problem),
            *checks,
        )
        self.save_plain(buckets=None if buckets is None else asdict(buckets))
        self.resolution = resolution
        self.batch_size = batch_size
        self.crop = crop
        self.buckets = buckets
        self.flip = flip
        self.caption_dropout = caption_dropout
        self.caption_rules = rules
        self.unmasked_weight = unmasked_weight
        self.num_workers = num_workers
        self.cache_dir = cache_dir
        self.seed = seed
        self.cached_views = cached_views
        self.on_problem = on_problem
        self._may_cache = cache_latents
        self._left_out_path: Path | None = None
        self._datasets: tuple[PictureDataset, ...] | None = None
        self._is_checked = False
        self.survey_listeners: list[Callable[[Survey, Path], None]] = []

    def save_plain(self, **values: Any) -> None:
        """Save hyperparameters in another form than they were given in.

        Args:
            **values: By name.
        """
        # a frame that Lightning finds by itself it keeps, and with it all that its callers hold:
        # workers of a loader would wait five seconds each for the garbage collector's order
        self.save_hyperparameters(values, frame=currentframe())

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Show the arguments that a data module hands on among its own."""
        super().__init_subclass__(**kwargs)
        cls.__signature__ = whole_signature(cls, hidden=cls.made)  # type: ignore[attr-defined]

    @abstractmethod
    def problems(self) -> list[str]:
        """List everything that keeps the data from being trained on; reads files, no weights.

        Returns:
            One line each: a path, what is wrong with it, and what to do. Empty if all is well.
        """

    @abstractmethod
    def build_datasets(self) -> tuple[PictureDataset, ...]:
        """Make the data sets of training and validation, which may be empty, and any further."""

    def found(self) -> list[str]:
        """Say what the folders were taken for and what was left out, a line each."""
        return []

    def setup(self, stage: str | None = None) -> None:
        """Check the folders and read them anew, unless that was just done; see `take_as_checked`.

        Args:
            stage: What the Trainer is about to do; all stages need the same.

        Raises:
            DataError: If there are problems, with all of them.
        """
        self._build()
        self._is_checked = False
        self._left_out_path = self._list_left_out()
        for line in self.found():
            rank_zero_info(line)

    def take_as_checked(self) -> None:
        """Go by what `problems` has just found, none, up to the end of the next `setup`.

        To walk through a large folder takes as long as to load a model.
        """
        self._is_checked = True

    @uncollected()
    def _build(self) -> tuple[PictureDataset, ...]:
        problems = [] if self._is_checked else self.problems()
        if problems:
            raise DataError(problems)
        self._datasets = self.build_datasets()
        return self._datasets

    @property
    def train_dataset(self) -> PictureDataset:
        """What is trained on."""
        return self._sized_datasets()[0]

    @property
    def val_dataset(self) -> PictureDataset:
        """What is held out of training, never flipped and with every caption."""
        return self._sized_datasets()[1]

    @uncollected()
    def train_dataloader(self) -> ResumableLoader:
        """Load training samples, from where a checkpoint left off; see `resume_position`.

        Returns:
            Batches of `pixel_values` (B, 3, H, W) in [-1, 1] or, once encoded, `moments`
            (B, 2C, h, w), with `caption`, `index` (B,) and `name`.
        """
        loader = self._loader(self.train_dataset, shuffle=True)
        order = loader.sampler
        if self.trainer is not None and isinstance(order, BatchOrder):
            order.resume(*resume_position(self.trainer))
        self._tell_survey()
        return loader

    def val_dataloader(self) -> ResumableLoader | list[ResumableLoader]:
        """Load the held-out pictures in their order; no loader if there are none."""
        return self._loader(self.val_dataset, shuffle=False) if len(self.val_dataset) else []

    def problems_at(self, resolution: int) -> list[str]:
        """List what keeps the data from being trained on by a model; reads no files.

        Args:
            resolution: The model's own, in pixels, where the data module has none.

        Returns:
            One sentence each.
        """
        try:
            check_buckets(self.buckets, self.resolution or resolution)
        except ValueError as error:
            return [str(error)]
        return []

    def sets_at_hand(self) -> tuple[list[Picture], ...]:
        """List what is trained on, what is held out, and others, before anything is made."""
        train, validation = self._built_datasets()[:2]
        return train.originals, validation.pictures

    def survey(self, resolution: int | None = None) -> Survey | None:
        """Look over the pictures of training and validation.

        Args:
            resolution: The model's own, in pixels, where the data module has none and no Trainer
                knows it.

        Returns:
            The figures; None if the resolution is not known.

        Raises:
            DataError: If there are problems, which come first.
        """
        train, validation = self._built_datasets()[:2]
        model = getattr(getattr(self.trainer, "lightning_module", None), "model", None)
        resolution = self.resolution or resolution or getattr(model, "resolution", None)
        if resolution is None:
            return None
        pictures = train.pictures[: len(train.originals)]
        return survey_pictures(
            [*pictures, *validation.pictures],
            resolution,
            self.buckets,
            samples=train.repeats_by_picture()[: len(pictures)] + [0] * len(validation.pictures),
            batch_size=self.batch_size * self._rank()[1],
            own_captions=self.has_own_captions,
        )

    def survey_notes(self, survey: Survey) -> list[str]:
        """Say what a survey comes to, see `survey_lines`."""
        return survey_lines(survey)

    @property
    def has_own_captions(self) -> bool:
        """Whether each picture has a caption of its own, and not one that is given for all."""
        return True

    @property
    def prompt_fields(self) -> PromptFields:
        """What may stand in braces in the prompts of samples, such as `{subject}`."""
        return PromptFields()

    def captions(self) -> list[str]:
        """List the distinct captions of all batches, so that each is encoded once."""
        distinct = [caption for dataset in self._built_datasets() for caption in dataset.captions()]
        return list(dict.fromkeys(distinct))

    @property
    def draws_captions(self) -> bool:
        """Whether batches have captions that `captions` does not list, for they are too many."""
        return any(dataset.draws_captions for dataset in self._built_datasets())

    def left_out(self) -> list[str]:
        """List what is wrong with the pictures that are left out, a line each."""
        return []

    @property
    def _skipping(self) -> dict[str, Any]:
        return {"on_problem": self.on_problem} if self.on_problem == "skip" else {}

    def _notes(self) -> list[str]:
        """Say what is left out, and what random crops mean for the cache."""
        notes = []
        if lines := self.left_out():
            notes += left_out_notes(lines, self._left_out_path or self._list_left_out())
        if self.crop != "center" and self._may_cache:
            notes.append(crops_note(self.cached_views))
        return notes

    def _list_left_out(self) -> Path | None:
        """Write what is left out into the run's folder, or else into the cache."""
        if not (lines := self.left_out()):
            return None
        # all processes ask, for the Trainer lets them agree
        folder = None if self.trainer is None else getattr(self.trainer, "log_dir", None)
        return list_left_out(lines, folder, is_first=self._rank()[0] == 0)

    def _loader(self, dataset: PictureDataset, shuffle: bool) -> ResumableLoader:
        rank, processes = self._rank()
        workers = self._workers(dataset)
        overfits = self.trainer is not None and self.trainer.overfit_batches > 0  # type: ignore[attr-defined]
        order = BatchOrder if shuffle and not overfits else FixedBatchOrder
        return ResumableLoader(
            Batches(dataset),
            batch_size=None,  # the order makes batches
            sampler=order(
                dataset,
                batch_size=self.batch_size,
                seed=self.seed,
                shuffle=shuffle and not overfits,
                num_replicas=processes,
                rank=rank,
            ),
            num_workers=workers,
            persistent_workers=workers > 0,
            collate_fn=as_it_is,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # else every epoch would draw from the global state
        )

    def _workers(self, dataset: PictureDataset) -> int:
        if dataset.encoded is not None:
            return 0
        if self.num_workers is not None:
            return self.num_workers
        return choose_workers(dataset.pictures, getattr(self.trainer, "num_devices", 1))

    def _built_datasets(self) -> tuple[PictureDataset, ...]:
        return self._build() if self._datasets is None else self._datasets

    def _sized_datasets(self) -> tuple[PictureDataset, ...]:
        datasets = self._built_datasets()
        if self.resolution is None and self.trainer is not None:
            # known late: a module loads its model after the data module is set up
            model = getattr(self.trainer.lightning_module, "model", None)
            for dataset in datasets:
                dataset.resolution = getattr(model, "resolution", None)
        return datasets

    def _tell_survey(self) -> None:
        """Log what the pictures come to, and write it into the run's folder."""
        if self._rank()[0] != 0:
            return
        if not getattr(self.trainer, "optimizers", True):
            return  # a schedule counts batches, before there are class pictures; training asks anew
        survey = self.survey()
        if survey is None:
            return
        for line in survey_lines(survey, most=_NAMED):
            rank_zero_info(line)
        folder = getattr(getattr(self.trainer, "logger", None), "log_dir", None)
        if not isinstance(folder, str):
            return
        if not write_survey(Path(folder), survey):
            log.warning("%s cannot be written.", Path(folder) / SURVEY)
        for tell in self.survey_listeners:
            tell(survey, Path(folder))
