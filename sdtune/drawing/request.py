"""From what a call asks for, and what runs and pictures record, to the settings of pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sdtune._prompt_fields import PromptFields
from sdtune.drawing.drawer import Drawer
from sdtune.drawing.settings import PictureSettings, UsedAdapter, UsedBase
from sdtune.drawing.sources import AdapterSource, find_recorded
from sdtune.files.confined_path import is_confined, lies_within
from sdtune.models.loading import NANO
from sdtune.models.repository import is_cached
from sdtune.run_folder.layout import RunFolder
from sdtune.run_folder.sample_rows import Sampling, read_sampling

__all__ = ["Request", "base_of_picture", "run_sampling"]


# what a picture is drawn with again, unasked; more is the caller's to say
_MOST_PIXELS = 2048 * 2048
_MOST_AT_ONCE = 8 * _MOST_PIXELS
_MOST_STEPS = 250


@dataclass(frozen=True)
class Request:
    """What is asked for; None, or nothing, where it is left to the run or the picture.

    Attributes:
        sources: The adapters that are given.
        strengths: One for each adapter that is drawn with.
        prompts: What to draw, fields not filled in.
        seeds: Each prompt once with each.
        given: Other values of `PictureSettings`, by name.
        is_base_given: Whether another base than a picture's may be drawn with.
    """

    sources: Sequence[AdapterSource] = ()
    strengths: Sequence[float] | None = None
    prompts: Sequence[str] | None = None
    seeds: Sequence[int] | None = None
    given: Mapping[str, Any] = field(default_factory=dict)
    is_base_given: bool = False

    @property
    def fields(self) -> PromptFields:
        """The fields of all adapters together; of those of one name, the first adapter's."""
        found = [each.fields.readings for each in reversed(self.sources)]
        return PromptFields({name: read for each in found for name, read in each.items()})

    def settings(self, drawer: Drawer, sampling: Sampling | None) -> list[PictureSettings]:
        """Say what is drawn, prompts outside and seeds inside, as a run's samples are.

        Args:
            drawer: What draws.
            sampling: How the first adapter's run draws its samples, if there is one.

        Returns:
            Settings of pictures that have not been drawn.

        Raises:
            ValueError: If there is no prompt, or a field or a strength is wrong.
        """
        prompts, seeds = self.prompts, self.seeds
        values: dict[str, Any] = {}
        if sampling is not None:
            seeds = seeds or (None if prompts else sampling.seeds)
            prompts = prompts or sampling.prompts
            names = ("num_inference_steps", "guidance_scale", "negative_prompt", "width", "height")
            values = {name: getattr(sampling, name) for name in names}
        if not prompts:
            raise ValueError('Expected `--prompt "..."` or `--prompts FILE`, but neither is given.')
        for name in ("clip_skip", "max_prompt_chunks"):
            values[name] = max((each.number(name) for each in self.sources), default=1)
        adapters = [each.used() for each in self.sources]
        first = PictureSettings(
            prompt="",
            base=drawer.base,
            adapters=_strengthened(adapters, self.strengths),
            precision=drawer.precision,
            **{**values, **self.given},
        )
        fields = self.fields
        return [
            replace(first, prompt=fields.tuned(prompt, "prompt"), seed=seed)
            for prompt in prompts
            for seed in seeds or (0,)
        ]

    def like(self, recorded: PictureSettings, picture: Path) -> Request:
        """Say what is asked for with the adapters of a picture.

        They are found by their hashes among those that are given; if none of these is the
        picture's, they are drawn with in the place of the picture's.

        Args:
            recorded: What the picture was drawn by.
            picture: The picture, for messages.

        Returns:
            The request, with the adapters that are drawn with.

        Raises:
            ValueError: If an adapter is not found.
        """
        hashes = {each.sha256 for each in recorded.adapters}
        if self.sources and not any(each.sha256 in hashes for each in self.sources):
            return self
        return replace(self, sources=find_recorded(recorded.adapters, self.sources, picture))

    def settings_like(self, recorded: PictureSettings, drawer: Drawer) -> list[PictureSettings]:
        """Say what is drawn again, with what is asked for in the place of what is recorded.

        Args:
            recorded: What the picture was drawn by.
            drawer: What draws.

        Returns:
            Settings; those recorded, to the last one, if nothing else is asked for.

        Raises:
            ValueError: If a strength or a field is wrong, or the picture asks for more than one
                does that somebody drew for a trial, and the call does not.
        """
        adapters = list(recorded.adapters)
        if [each.sha256 for each in adapters] != [each.sha256 for each in self.sources]:
            adapters = [each.used() for each in self.sources]
        if self.strengths is not None:
            adapters = _strengthened(adapters, self.strengths)
        base = recorded.base
        if self.is_base_given and drawer.base.unet_sha256 != base.unet_sha256:
            base = drawer.base
        _check_cost(recorded, self.given, self.seeds is not None)
        first = replace(
            recorded, base=base, adapters=adapters, precision=drawer.precision, **self.given
        )
        if self.prompts is None and self.seeds is None:
            return [first]
        fields = self.fields
        prompts = [fields.tuned(each, "prompt") for each in self.prompts or ()] or [recorded.prompt]
        return [
            replace(first, prompt=prompt, seed=seed, batch=None)
            for prompt in prompts
            for seed in self.seeds or (recorded.seed,)
        ]


def run_sampling(adapter: Path) -> Sampling | None:
    """Read how the run of an adapter draws its samples.

    Args:
        adapter: A run folder, or anything else, which has none.

    Returns:
        The settings; None if there are none that can be read.
    """
    try:
        return read_sampling(RunFolder(adapter).samples)
    except ValueError:  # a damaged strip; a run is drawn with without it
        return None


def base_of_picture(base: UsedBase, others: Iterable[str | None], picture: Path) -> str:
    """Find the base that a picture names, without fetching or following what a stranger wrote.

    Args:
        base: What the picture says.
        others: What runs beside it say, where its adapters are.
        picture: The picture, for messages.

    Returns:
        What to load: nano, what is below the current folder, or what is in the hub's cache; of what
        the runs say, also any other file or folder that is there.

    Raises:
        ValueError: If it is none of these.
    """
    path = Path(base.source)
    is_here = is_confined(base.source) and path.exists() and lies_within(path, Path.cwd())
    if base.source == NANO or is_here or is_cached(base.source):
        return base.source
    for other in filter(None, others):
        if other == NANO or is_cached(other) or Path(other).exists():
            return other
    raise ValueError(
        f"Expected the base `{base.source}` of {picture} to be nano, below this folder or in the "
        "hub's cache, but it is not: name it by `--base`."
    )


def _check_cost(recorded: PictureSettings, given: Mapping[str, Any], are_seeds_given: bool) -> None:
    """Refuse to draw for hours, or to fill memory, because a stranger's picture says so."""
    width, height = recorded.width or 0, recorded.height or 0
    size = recorded.batch.size if recorded.batch else 1
    steps = recorded.num_inference_steps
    asked = f"--width {width} --height {height}"
    for is_much, what, most, way in (
        (
            width * height > _MOST_PIXELS and not {"width", "height"} <= given.keys(),
            f"{width}x{height} pixels",
            f"{_MOST_PIXELS:,} pixels",
            f"`{asked}` draws it",
        ),
        (
            width * height * size > _MOST_AT_ONCE and not are_seeds_given,
            f"{size} of {width}x{height} at once",
            f"{_MOST_AT_ONCE:,} pixels at once",
            f"`--seeds {recorded.seed}` draws it alone",
        ),
        (
            steps > _MOST_STEPS and "num_inference_steps" not in given,
            f"{steps} steps",
            f"{_MOST_STEPS} steps",
            f"`--steps {steps}` draws it",
        ),
    ):
        if is_much:
            raise ValueError(
                f"Expected the picture of `--like` to ask for at most {most}, but it asks for "
                f"{what}: {way}, if that is meant."
            )


def _strengthened(
    adapters: Sequence[UsedAdapter], strengths: Sequence[float] | None
) -> list[UsedAdapter]:
    if strengths is None:
        return list(adapters)
    if len(strengths) != len(adapters):
        raise ValueError(
            f"Expected `--scale` to be one for each of {len(adapters)} adapters, but got "
            f"{len(strengths)}."
        )
    return [replace(each, strength=s) for each, s in zip(adapters, strengths, strict=True)]
