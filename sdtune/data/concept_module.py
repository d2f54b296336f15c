"""What the LightningDataModules of subjects share: instance pictures, and class pictures beside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice, zip_longest
from typing import Any, NamedTuple

from sdtune._prompt_fields import PromptFields, Subject
from sdtune.data.buckets import Size
from sdtune.data.caption_making import check_captioner
from sdtune.data.class_pictures import ClassPictures, Draw
from sdtune.data.concept import Concept
from sdtune.data.concept_captions import ConceptCaptions, Uncaptioned
from sdtune.data.concept_dataset import ConceptDataset
from sdtune.data.manifest import Manifest
from sdtune.data.masked_scan import with_masks
from sdtune.data.picture_module import PictureDataModule
from sdtune.data.pictures import Picture, PictureDataset
from sdtune.data.scan import Scan
from sdtune.data.subject_captions import chosen_words
from sdtune.data.survey import Survey, survey_class_pictures

__all__ = ["ConceptPicturesModule"]


class _Scans(NamedTuple):
    """What was found of one subject."""

    instance: Scan
    of_class: Scan
    uncaptioned: Sequence[Picture] = ()


class ConceptPicturesModule(PictureDataModule):
    """Base of the data modules of subjects: instance pictures, and beside them class pictures.

    A technique that preserves its prior calls `make_class_pictures`. A batch then holds as many
    of them as instance pictures, in entries whose names begin with `class_`, each of the class of
    the instance at its place.

    Args:
        concepts: The subjects.
        checks: What the subclass checks of its own arguments, see `check_all`.
        captioner: What describes pictures of a concept with a `class_noun` that have no caption,
            once, at the start of a run: `blip`, `clip` or `wd`, see `sdtune caption`; `none` names
            the subject and no more; `auto` takes `clip` for nano and else `blip`.
        write_captions: Whether captions that were made are written beside the pictures, too.
        **kwargs: See `PictureDataModule`.

    Raises:
        ValueError: If an argument is out of its range.
    """

    made = ("concepts", "checks")

    def __init__(
        self,
        concepts: Sequence[Concept],
        checks: Sequence[Callable[[], None]] = (),
        *,
        captioner: str = "auto",
        write_captions: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            [
                *(partial(self._check_concept, *each) for each in enumerate(concepts)),
                lambda: check_captioner(captioner),
                *checks,
            ],
            **kwargs,
        )
        self.concepts = list(concepts)
        self._made_captions = ConceptCaptions(captioner, write_captions)
        self._placeholders: list[str] = []
        self._initializers: list[str] = []
        self._scans: list[_Scans] | None = None

    def _check_concept(self, number: int, concept: Concept) -> None:
        concept.check()

    @property
    def subjects(self) -> list[Subject | None]:
        """The words of each subject; None for one without a `class_noun`."""
        pairs = zip_longest(self.concepts, self._placeholders[: len(self.concepts)], fillvalue="")
        return [concept.subject(word) for concept, word in pairs if isinstance(concept, Concept)]

    @property
    def prompt_fields(self) -> PromptFields:
        """What `{subject}` and `{class}` read, and `{subject_1}` and so on of several subjects."""
        one = len(self.concepts) == 1
        missing = "`data.class_noun`" if one else "a `class_noun` of each of `data.concepts`"
        return PromptFields.of_subjects(self.subjects, missing)

    @property
    def adapter_record(self) -> dict[str, str]:
        """What an adapter's header says of the words that were used."""
        fields = self.prompt_fields
        record = {"sdtune.prompt_fields": fields.to_json()} if fields.readings else {}
        return record | self._made_captions.adapter_record

    def keep_captions(self, recorded: Mapping[str, str]) -> None:
        """Take captions that an adapter's record has for pictures that have none of their own.

        Args:
            recorded: SHA-256 of a picture's file -> its caption.
        """
        self._made_captions.keep(recorded)

    def name_subjects(
        self, placeholders: Sequence[str], base: str, initializers: Sequence[str] = ()
    ) -> None:
        """Take over the words that a technique learns, before anything is read.

        Args:
            placeholders: A word for each subject; none if it learns no words.
            base: The base that is trained, for whose kind captions are made.
            initializers: What each word starts from.
        """
        self._made_captions.base = base
        self._initializers = list(initializers)
        if list(placeholders) != self._placeholders:
            self._placeholders = list(placeholders)
            self._scans = self._datasets = None

    @property
    def has_class_pictures(self) -> bool:
        """Whether there are class pictures, or prompts to draw them by, for every subject."""
        return all(concept.has_class_pictures for concept in self.concepts)

    @property
    def location(self) -> dict[str, Any]:
        """Where the instance pictures are and what reads them, see `TrainingSet.from_folder`."""
        first, *others = self.concepts
        if others:
            folders = {str(each.instance_dir): each.repeats for each in self.concepts}
            sources = {each.source for each in self.concepts}
            return {
                "folder": folders,
                "source": first.source if len(sources) == 1 else None,
                **self._skipping,
            }
        columns = {"caption_column": first.caption_column, "image_column": first.image_column}
        return {
            "folder": str(first.instance_dir),
            "source": first.source,
            **columns,
            **self._skipping,
        }

    @property
    def has_own_captions(self) -> bool:
        """Whether each picture has a caption of its own, and no subject has a prompt for all.

        No, as long as captions are to be made.
        """
        if any(concept.instance_prompt is not None for concept in self.concepts):
            return False
        pending = (each for pair in self._scanned() for each in pair.uncaptioned)
        return all(map(self._made_captions.has, pending))

    def problems(self) -> list[str]:
        """List everything that keeps the folders from being trained on; reads files, no weights.

        Returns:
            One line each: a path, what is wrong with it, and what to do. Empty if all is well.
        """
        self._scans = None  # files may have changed
        unknown = self._unknown_fields()
        scans = [scan for pair in self._scanned() for scan in pair[:2]]
        return [*unknown, *(str(each) for scan in scans for each in scan.problems)]

    def left_out(self) -> list[str]:
        """List what is wrong with the pictures that are left out, a line each."""
        scans = [scan for pair in self._scanned() for scan in pair[:2]]
        return [str(each) for scan in scans for each in scan.left_out]

    def found(self) -> list[str]:
        """Say what the folders were taken for and what was left out, a line each."""
        lines: list[str] = []
        for number, (concept, pair) in enumerate(zip(self.concepts, self._scanned(), strict=True)):
            key = self._key(number)
            lines += pair.instance.lines(f"{key}.instance_dir")
            if concept.class_dir is not None:
                lines += pair.of_class.lines(f"{key}.class_dir")
            subject = self.subjects[number]
            if subject is not None:
                started = dict(enumerate(self._initializers)).get(number, "")
                lines.append(f"{key}.class_noun: {chosen_words(subject, started)}")
                lines += [f"{key}.subject_name: {each}" for each in concept.name_note]
                lines += self._made_captions.lines(
                    key,
                    pair.instance.pictures,
                    Uncaptioned(pair.uncaptioned, subject, concept.wraps_names),
                )
        return lines + self._notes()

    def sets_at_hand(self) -> tuple[list[Picture], ...]:
        """List the instance pictures, none held out, and each concept's class pictures."""
        return *super().sets_at_hand(), *(list(each.of_class.pictures) for each in self._scanned())

    def survey(self, resolution: int | None = None) -> Survey | None:
        """Look over the instance pictures, and the class pictures that are there already.

        Args:
            resolution: See `PictureDataModule.survey`.

        Returns:
            The figures; None if the resolution is not known.
        """
        survey = super().survey(resolution)
        train = self._built_datasets()[0]
        if survey is None or not isinstance(train, ConceptDataset):
            return survey
        beside = train.class_datasets[: len(self.concepts)]
        of_class = [each.pictures for each in beside] or [
            list(each.of_class.pictures) for each in self._scanned()
        ]
        if not any(of_class):
            return survey
        sampled = iter(zip(survey.targets, train.repeats_by_picture(), strict=False))
        sizes: list[Counter[Size]] = []
        for pair in self._scanned():
            sizes.append(Counter())
            for target, repeats in islice(sampled, len(pair.instance.pictures)):
                sizes[-1][target] += repeats
        found = survey_class_pictures(of_class, sizes, survey.pictures, survey.resolution)
        return replace(survey, of_class=found)

    def setup(self, stage: str | None = None) -> None:
        """Check the folders, read them anew, and make captions for pictures that have none.

        Args:
            stage: What the Trainer is about to do; all stages need the same.

        Raises:
            DataError: If there are problems, with all of them.
            ValueError: If a captioner that was asked for is not available here.
        """
        self._made_captions.read_anew()
        self._build()
        pairs = [
            Uncaptioned(pair.uncaptioned, subject, concept.wraps_names)
            for concept, pair, subject in zip(
                self.concepts, self._scanned(), self.subjects, strict=True
            )
            if subject is not None and pair.uncaptioned
        ]
        if pairs and self._made_captions.make(pairs, self._cache_folder(), self.trainer):
            self._scans = self._datasets = None
        super().setup(stage)

    def build_datasets(self) -> tuple[PictureDataset, ...]:
        """Read the instance pictures; class pictures come with `make_class_pictures`."""
        return self._build_train(), PictureDataset([], resolution=self.resolution)

    def _build_train(self, mixed: Sequence[Picture] = (), mixed_repeats: int = 1) -> ConceptDataset:
        return ConceptDataset(
            self._filled(),
            [pair.instance.pictures for pair in self._scanned()],
            mixed,
            mixed_repeats,
            self._names(),
            resolution=self.resolution,
            crop=self.crop,
            buckets=self.buckets,
            flip=self.flip,
            caption_dropout=self.caption_dropout,
            caption_rules=self.caption_rules,
            unmasked_weight=self.unmasked_weight,
            cached_views=self.cached_views,
            seed=self.seed,
        )

    def _names(self) -> list[str | None]:
        """Give the captions that are names, around which templates go; None for all."""
        return [
            None if subject is None or concept.instance_prompt is not None else subject.tuned
            for concept, subject in zip(self.concepts, self.subjects, strict=True)
        ]

    def _scanned(self) -> list[_Scans]:
        if self._scans is None:
            self._scans = [
                self._scan(concept, subject)
                for concept, subject in zip(self._filled(), self.subjects, strict=True)
            ]
        return self._scans

    def _scan(self, concept: Concept, subject: Subject | None) -> _Scans:
        how = self.cache_dir, self.on_problem
        scan = concept.scan(*how, subject)
        made = self._made_captions
        uncaptioned = [
            each for each in scan.pictures if subject and (not each.caption or made.made_for(each))
        ]
        if subject is not None and uncaptioned:
            beside = Uncaptioned(uncaptioned, subject, concept.wraps_names)
            without = {each.path for each in uncaptioned}
            told = [
                replace(each, caption=made.caption(each, beside)) if each.path in without else each
                for each in scan.pictures
            ]
            scan = replace(scan, pictures=told)
        scan = with_masks(scan, self.unmasked_weight, self.on_problem)
        return _Scans(scan, concept.scan_class(*how), uncaptioned)

    def _filled(self) -> list[Concept]:
        """Give the concepts with their prompts' fields filled; as they are, if one is unknown."""
        if self._unknown_fields():
            return self.concepts
        return [
            concept.filled(self._fields_of(number), self._key(number))
            for number, concept in enumerate(self.concepts)
        ]

    def _unknown_fields(self) -> list[str]:
        return [
            problem
            for number, concept in enumerate(self.concepts)
            for name, texts in concept.prompts().items()
            for problem in self._fields_of(number).problems(texts, f"{self._key(number)}.{name}")
        ]

    def _fields_of(self, number: int) -> PromptFields:
        """Give the fields in the prompts of a concept: its own, and those of all by number."""
        key = self._key(number)
        own = PromptFields.of_subjects([self.subjects[number]], f"`{key}.class_noun`")
        every = self.prompt_fields
        return PromptFields({**own.readings, **every.readings}, {**own.missing, **every.missing})

    def _key(self, number: int) -> str:
        return "data" if len(self.concepts) == 1 else f"data.concepts[{number}]"

    def _sized_datasets(self) -> tuple[PictureDataset, ...]:
        datasets = super()._sized_datasets()
        train = datasets[0]
        if isinstance(train, ConceptDataset) and train.resolution is not None:
            self._complete(train, train.resolution)
            if train.class_datasets:
                sizes = train.sizes_by_concept()
                for dataset, beside in zip(train.class_datasets, sizes, strict=True):
                    dataset.beside = beside
        return datasets

    def _complete(self, train: ConceptDataset, resolution: int) -> None:
        """Add what depends on the resolution."""

    def make_class_pictures(self, draw: Draw, key: str) -> None:
        """Put class pictures beside the instance pictures; from then on batches hold both.

        Those in a `class_dir` are taken as they are. Others are drawn, or found in the cache if an
        earlier run has drawn them. Of several processes each draws its share.

        Args:
            draw: The untuned base: texts and seeds, B each, to pictures (B, 3, H, W) in [0, 1].
            key: What draws: weights, sampler's settings, size. Another key finds none of these
                pictures.

        Raises:
            RuntimeError: If there is neither a `class_dir` nor a `class_prompt`.
        """
        if not self.has_class_pictures:
            raise RuntimeError(
                "Expected `class_prompt` or `class_dir` to be given, but both are None."
            )
        train, validation = self._built_datasets()[:2]
        if not isinstance(train, ConceptDataset):
            raise TypeError(f"Expected a ConceptDataset, but got {type(train).__name__}.")
        pictures = [
            pair.of_class.pictures if concept.class_dir else self._drawn(concept, draw, key)
            for concept, pair in zip(self._filled(), self._scanned(), strict=True)
        ]
        if len(train.pictures) > len(train.originals):  # beside mixed pictures stand those of all
            pictures.append([picture for each in pictures for picture in each])
        train.class_datasets = [
            PictureDataset(each, resolution=self.resolution, seed=self.seed) for each in pictures
        ]
        self._datasets = (train, validation, *train.class_datasets)

    def _drawn(self, concept: Concept, draw: Draw, key: str) -> Sequence[Picture]:
        folder = self._cache_folder() / "class_pictures"
        drawn = ClassPictures(folder, concept.class_prompts or [], key, concept.class_count)
        rank, processes = self._rank()
        if processes > 1 and self.trainer is not None:
            drawn.make(draw, rank, processes)
            self.trainer.strategy.barrier("make_class_pictures")
        drawn.make(draw)
        facts = Manifest(drawn.folder, self.cache_dir).facts(drawn.paths)
        return [
            Picture(path, path.name, prompt, known.size, known.sha256, perceptual=known.perceptual)
            for path, prompt in zip(drawn.paths, drawn.prompts, strict=True)
            for known in [facts[path]]
        ]
