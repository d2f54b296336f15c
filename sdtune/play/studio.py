"""What stands behind the page: models that stay loaded, and what was drawn with its settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

from sdtune.drawing import parameters
from sdtune.drawing.album import Album
from sdtune.drawing.drawer import Drawer, Drawn
from sdtune.drawing.picture_settings import settings_text
from sdtune.drawing.request import Request
from sdtune.drawing.settings import PictureSettings
from sdtune.models.noise_schedulers import NoiseSchedulerName
from sdtune.models.substitution import substitute
from sdtune.play.offered import OfferedAdapter

__all__ = ["Asked", "Kept", "Pair", "StoppedError", "Studio"]

_VALUES = (
    "negative_prompt",
    "num_inference_steps",
    "guidance_scale",
    "sampler",
    "width",
    "height",
)

_OnStep = Callable[[int, int], object]


class StoppedError(Exception):
    """Drawing was stopped by the page; what was drawn before is kept."""


@dataclass(frozen=True)
class Asked:
    """What the page asks for.

    Attributes:
        prompt: What to draw; fields such as `{subject}` are filled in.
        checkpoints: A key of each adapter that is offered.
        strengths: One for each of them.
        negative_prompt: What guidance leads away from.
        seed: Of the noise.
        num_inference_steps: Steps of the sampler.
        guidance_scale: Strength of classifier-free guidance.
        sampler: The noise scheduler.
        width: Pixels.
        height: Pixels.
    """

    prompt: str
    checkpoints: tuple[str, ...]
    strengths: tuple[float, ...]
    negative_prompt: str
    seed: int
    num_inference_steps: int
    guidance_scale: float
    sampler: NoiseSchedulerName
    width: int
    height: int


@dataclass(frozen=True)
class Pair:
    """The settings of a picture with the adapters, and of the base's own."""

    tuned: PictureSettings
    base: PictureSettings


@dataclass(frozen=True)
class Kept:
    """A picture that was drawn.

    Attributes:
        path: Its file, which holds its settings.
        settings: The same, with size and batch.
        text: The same, as A1111 writes them.
        is_finite: Whether it is a picture; one that holds what is not a number is black.
    """

    path: Path
    settings: PictureSettings
    text: str
    is_finite: bool


class Studio:
    """Draws what the page asks for; models stay loaded, and nothing is drawn twice.

    Args:
        drawer: The base.
        offered: The adapters that may be drawn with.
        folder: Where pictures are put for the page; none is written over.
        output: Where all of them are kept besides; None to keep none.

    Attributes:
        drawn: What was drawn, in this order.
    """

    def __init__(
        self,
        drawer: Drawer,
        offered: Sequence[OfferedAdapter],
        folder: Path,
        output: Path | None = None,
    ) -> None:
        self.drawer = drawer
        self.offered = list(offered)
        self.drawn: list[Kept] = []
        self._album = Album(folder)
        self._output = None if output is None else Album(output)
        self._kept: dict[str, Kept] = {}
        self._stop = Event()

    def pair(self, asked: Asked, like: PictureSettings | None = None) -> Pair:
        """Say what is drawn.

        Args:
            asked: What the page asks for.
            like: Settings of a picture; if these are asked for, it is drawn to the last bit.

        Returns:
            The settings; those of the base read the subject's noun where the adapters read a word.

        Raises:
            ValueError: If there is no prompt, or a value, a field or a checkpoint is wrong.
        """
        if not asked.prompt.strip():
            raise ValueError("Expected a prompt, but it is empty: write what to draw.")
        chosen = zip(self.offered, asked.checkpoints, asked.strengths, strict=True)
        used = [(each.source(key), strength) for each, key, strength in chosen if strength]
        for source, _ in used:
            self.drawer.add(source)
        request = Request(
            [source for source, _ in used],
            [strength for _, strength in used],
            [asked.prompt],
            [asked.seed],
            {name: getattr(asked, name) for name in _VALUES},
        )
        [tuned] = request.settings(self.drawer, None)
        if like is not None and _content(like) == _content(tuned):
            tuned = replace(tuned, batch=like.batch)
        plain = substitute(tuned.prompt, request.fields.words)
        pair = Pair(tuned, replace(tuned, prompt=plain, adapters=[], batch=None))
        for each in (pair.tuned, pair.base):
            self.drawer.check(each)
        return pair

    def draw(
        self, settings: Sequence[PictureSettings], on_step: _OnStep | None = None
    ) -> list[Kept]:
        """Draw pictures that have not been drawn yet, and find the others.

        Args:
            settings: One for each picture.
            on_step: Called after each step with how many were made and how many there are.

        Returns:
            The pictures.

        Raises:
            StoppedError: If `stop` was called meanwhile; pictures that were ready are kept.
            ValueError: If settings cannot be drawn.
        """
        self._stop.clear()
        keys = [settings_text(each) for each in settings]
        missing = {k: s for k, s in zip(keys, settings, strict=True) if k not in self._kept}
        total = sum(each.num_inference_steps for each in missing.values())
        made = 0

        def count(pictures: int) -> None:
            nonlocal made
            made += pictures
            if on_step is not None:
                on_step(made, total)
            if self._stop.is_set():
                raise StoppedError

        drawn = self.drawer.draw(list(missing.values()), count)
        for key, each in zip(missing, drawn, strict=True):
            self._kept[key] = self._keep(each)
        return [self._kept[key] for key in keys]

    def stop(self) -> None:
        """End what is being drawn after its step."""
        self._stop.set()

    def _keep(self, drawn: Drawn) -> Kept:
        if self._output is not None:
            self._output.keep(drawn)
        path = self._album.keep(drawn)
        kept = Kept(path, drawn.settings, drawn.texts[parameters.KEYWORD], drawn.is_finite)
        self.drawn.append(kept)
        return kept


def _content(settings: PictureSettings) -> PictureSettings:
    """Leave out what does not change a picture but for its last bits: names, places, the batch."""
    adapters = [replace(each, name="", path="") for each in settings.adapters if each.strength]
    return replace(settings, base=replace(settings.base, source=""), adapters=adapters, batch=None)
