"""The captions that one run makes for the pictures of its subjects: chosen, kept, and told."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sdtune._prompt_fields import PromptFields, Subject
from sdtune._resumed_checkpoint import given_checkpoint
from sdtune._wording import counted, with_article
from sdtune.captioning.blip import blip_problem
from sdtune.data.caption_files import write_caption
from sdtune.data.caption_making import (
    AUTO,
    NONE,
    captioner_for,
    captioner_words,
    make_captions,
)
from sdtune.data.made_captions import (
    CAPTIONS,
    MadeCaption,
    read_made_captions,
    write_made_captions,
)
from sdtune.data.pictures import Picture
from sdtune.data.subject_captions import made_caption

__all__ = ["ConceptCaptions", "Uncaptioned"]

log = logging.getLogger(__name__)

_ALL_SHOWN = 20  # captions
_SOME_SHOWN = 5
_IN_HEADER = 100  # captions; a header is read whole


class Uncaptioned(NamedTuple):
    """Pictures of a subject that have no caption of their own.

    Attributes:
        pictures: The pictures.
        subject: What they show.
        in_templates: Whether templates go around the subject's name.
    """

    pictures: Sequence[Picture]
    subject: Subject
    in_templates: bool = False


class ConceptCaptions:
    """Captions that were made, by the pictures' hashes.

    Args:
        captioner: What makes them, see `captioner_for`.
        beside: Whether they are written beside the pictures, too.

    Attributes:
        base: The base that is trained; None as long as no technique has said it, and then nothing
            is described.
    """

    def __init__(self, captioner: str, beside: bool) -> None:
        self._asked = captioner
        self._beside = beside
        self._made: dict[str, MadeCaption] = {}
        self._made_for: frozenset[Path] = frozenset()
        self._file: Path | None = None
        self._written_beside: set[Path] = set()
        self._recorded: dict[str, str] = {}
        self.base: str | None = None

    @property
    def adapter_record(self) -> dict[str, str]:
        """The captions for an adapter's header, by the hashes of pictures, if they are not many."""
        if not 0 < len(self._made) <= _IN_HEADER:
            return {}
        captions = {sha256: each.caption for sha256, each in self._made.items()}
        return {"sdtune.made_captions": json.dumps(captions, ensure_ascii=False)}

    def keep(self, recorded: Mapping[str, str]) -> None:
        """Take captions that an adapter's record has, and make others for other pictures alone.

        Args:
            recorded: SHA-256 of a picture's file -> its caption.
        """
        self._recorded = dict(recorded)

    def has(self, picture: Picture) -> bool:
        """Tell whether a caption was made for a picture."""
        return picture.sha256 in self._made

    def made_for(self, picture: Picture) -> bool:
        """Tell whether a picture had no caption before this run wrote one beside it."""
        return picture.path in self._made_for

    def read_anew(self) -> None:
        """Take what is beside pictures from now on for captions of their own."""
        self._made_for = frozenset()

    def caption(self, picture: Picture, of: Uncaptioned) -> str:
        """Say what a picture without a caption of its own is told.

        Args:
            picture: The picture.
            of: The subject that it shows.

        Returns:
            The caption that was made for it; the subject alone as long as none was.
        """
        made = self._made.get(picture.sha256)
        text = made.caption if made else self._alone(of)
        return PromptFields.of_subjects([of.subject]).tuned(text, CAPTIONS)

    def make(self, pairs: Sequence[Uncaptioned], cache: Path, trainer: Any) -> bool:
        """Make the captions that are missing, on the first process, and tell the others.

        A caption that the run's folder has, or that of the run that is resumed, stays what it was.

        Args:
            pairs: Pictures without captions, of each subject.
            cache: The cache's folder.
            trainer: The Trainer, or None.

        Returns:
            Whether there are captions now.

        Raises:
            ImportError: If a captioner that was asked for lacks its package.
            ValueError: If its model is not available here.
        """
        if self.base is None and self._asked == AUTO:
            return False
        if trainer is None:
            made = self._all(pairs, cache, [])
        else:
            folder = getattr(trainer.logger, "log_dir", None)
            folders = _folders(folder, given_checkpoint(trainer))
            made = self._all(pairs, cache, folders) if trainer.is_global_zero else []
            made = trainer.strategy.broadcast(made)
            if folder and not trainer.fast_dev_run:
                self._file = Path(folder) / CAPTIONS
                if trainer.is_global_zero:
                    write_made_captions(Path(folder), made)
        self._made = {each.sha256: each for each in made}
        self._made_for = frozenset(each.path for of in pairs for each in of.pictures)
        if self._beside and (trainer is None or trainer.is_global_zero):
            self._write_beside(pairs)
        return True

    def lines(
        self,
        key: str,
        pictures: Sequence[Picture],
        of: Uncaptioned,
    ) -> list[str]:
        """Say which captions the pictures of a subject have, and which are to be made.

        Args:
            key: What the subject is given as, such as `data`.
            pictures: Its pictures, as they are trained on.
            of: Those of them that have no caption of their own.

        Returns:
            A line, and one for each caption that is shown.
        """
        uncaptioned = of.pictures
        without = {each.name for each in uncaptioned}
        lines = []
        if uncaptioned and self.has(uncaptioned[0]):
            lines.append(f"{key}.captioner: {self._made_words(uncaptioned)}:")
            lines += _listed([each for each in pictures if each.name in without], CAPTIONS)
        elif uncaptioned:
            have = "has" if len(without) == 1 else "have"
            lines.append(
                f"{key}.captioner: {len(without)} of {counted(len(pictures), 'picture')} {have} no "
                f"caption; {self._to_come(of)}"
            )
        others = [each for each in pictures if each.name not in without]
        if others:
            told = counted(len(others), "picture is", "pictures are")
            lines.append(f"{key}.instance_dir: what {told} told:")
            lines += _listed(others)
        sentences = sum(each.caption != of.subject.tuned for each in pictures)
        if of.in_templates and sentences:
            are = "is a sentence, and is" if sentences == 1 else "are sentences, and are"
            lines.append(
                f"{key}.prompt_templates: {sentences} of {counted(len(pictures), 'caption')} {are} "
                f"told without a template; those go around `{of.subject.tuned}` alone."
            )
        return lines

    def _made_words(self, uncaptioned: Sequence[Picture]) -> str:
        """Say what made the captions of pictures, and where they were written."""
        names = dict.fromkeys(self._made[each.sha256].captioner for each in uncaptioned)
        count = len({each.name for each in uncaptioned})
        if names.keys() == {NONE}:
            have = counted(count, "picture is told", "pictures are told")
        else:
            have = counted(count, "picture has a caption", "pictures have captions")
            have += f" that {'was' if count == 1 else 'were'} made, by"
        beside = dict.fromkeys(
            f"beside the pictures in {each.path.parent}"
            for each in uncaptioned
            if each.path.with_suffix(".txt") in self._written_beside
        )
        places = [*([f"in {self._file}"] if self._file else []), *beside]
        written = f"; written {' and '.join(places)}" if places else ""
        return f"{have} {' and '.join(map(captioner_words, names))}{written}"

    def _to_come(self, of: Uncaptioned) -> str:
        alone = f"`{self.caption(Picture(Path(), '', ''), of)}`"
        around = ", with a template around it" if of.in_templates else ""
        chosen = captioner_for(self._asked, self.base)
        if chosen == NONE:
            return f"each is told {alone}{around}, by `captioner: none`."
        if chosen == "blip" and (problem := blip_problem()):
            otherwise = f" Until then each is told {alone}{around}." if self._asked == AUTO else ""
            return problem[:1].lower() + problem[1:] + otherwise
        begun = f"{with_article(of.subject.tuned)} …"
        return (
            f"captions will be made when training starts, by {captioner_words(chosen)}: `{begun}`."
        )

    def _alone(self, of: Uncaptioned) -> str:
        """Name the subject and no more: nano knows no photos, and templates say what it is of."""
        if of.in_templates:
            return "{subject}"
        return (
            made_caption(of.subject, "") if self.base in (None, "nano") else "a photo of {subject}"
        )

    def _all(
        self, pairs: Sequence[Uncaptioned], cache: Path, folders: Sequence[Path]
    ) -> list[MadeCaption]:
        known = {
            each.sha256: MadeCaption(each.name, each.sha256, caption, "record")
            for of in pairs
            for each in of.pictures
            if (caption := self._recorded.get(each.sha256))
        }
        for folder in reversed(folders):
            known |= {each.sha256: each for each in read_made_captions(folder)}
        made = []
        captioner = captioner_for(self._asked, self.base)
        required = self._asked != AUTO
        for of in pairs:
            new = [each for each in of.pictures if each.sha256 not in known]
            made += [known[each.sha256] for each in of.pictures if each.sha256 in known]
            if new:
                told = of.subject, self._alone(of), captioner, cache
                made += make_captions(new, *told, required=required)
        return made

    def _write_beside(self, pairs: Sequence[Uncaptioned]) -> None:
        """Write captions beside pictures, with the noun for the subject; never over a file."""
        names = Counter(each.path.with_suffix(".txt") for of in pairs for each in of.pictures)
        for pictures, subject, _ in pairs:
            plain = PromptFields.of_subjects([subject])
            for picture in pictures:
                path = picture.path.with_suffix(".txt")
                made = self._made[picture.sha256]
                if names[path] > 1 or path.exists():
                    log.warning("%s: %s would be of others, too; rename it.", picture.path, path)
                    continue
                try:
                    write_caption(path, plain.plain(made.caption, CAPTIONS))
                    self._written_beside.add(path)
                except OSError as error:
                    log.warning("%s cannot be written: %s.", path, error)


def _folders(own: str | None, checkpoint: Path | None) -> list[Path]:
    """List where captions of this run may be: its own folder, and that of the resumed one."""
    resumed = [] if checkpoint is None else [checkpoint.resolve().parent.parent]
    return [*([Path(own)] if own else []), *resumed]


def _listed(pictures: Sequence[Picture], file: str = "") -> list[str]:
    shown = pictures if file and len(pictures) <= _ALL_SHOWN else pictures[:_SOME_SHOWN]
    where = f", in the run's {file}" if file else ""
    rest = len(pictures) - len(shown)
    return [
        *(f"  {each.name}: {each.caption}" for each in shown),
        *([f"  and {rest} more{where}"] if rest else []),
    ]
