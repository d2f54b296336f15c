"""The pictures of a page: before and after, step by step, beside those that were learned from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sdtune.evaluation.rounding import number
from sdtune.report.pictures import Embedded, embed, embed_file
from sdtune.report.run import ReportedRun
from sdtune.run_folder.layout import BASE_LABEL, step_name
from sdtune.run_folder.picture_losses import PictureLoss
from sdtune.run_folder.record import Checkpoint, picture_name

__all__ = [
    "HardPicture",
    "Pair",
    "Sliding",
    "Strip",
    "hard_and_easy",
    "nearest_pairs",
    "sliders",
    "strips",
    "tuned_name",
]

_ROWS_SHOWN = 12  # a page of pictures at 512 px stays small enough to send
_STEPS_SHOWN = 8
_PAIRS_SHOWN = 8
_PICTURES_SHOWN = 8
_THUMBNAIL = 192  # pixels


@dataclass(frozen=True)
class Sliding:
    """A picture of the base and one of the tuned model, of the same prompt and seed."""

    prompt: str
    seed: int
    before: Embedded
    after: Embedded


@dataclass(frozen=True)
class Strip:
    """One prompt's pictures as training went on."""

    prompt: str
    seed: int
    tiles: Sequence[tuple[str, Embedded]]


@dataclass(frozen=True)
class Pair:
    """A sample and the training picture that it is most like; either may be gone."""

    prompt: str
    seed: int
    sample: Embedded | None
    picture: Embedded | None
    name: str
    similarity: str
    memorised: bool


@dataclass(frozen=True)
class HardPicture:
    """A training picture and how hard it is."""

    picture: Embedded | None
    name: str
    relative_loss: str


def tuned_name(run: ReportedRun) -> str:
    """Name whose pictures stand beside the base's: a checkpoint's, such as `step 400`."""
    if run.shown is not None and _has_pictures(run):
        return step_name(run.shown.label)
    return run.samples.rows[-1].label if run.samples and run.samples.rows else "tuned"


def _has_pictures(run: ReportedRun) -> bool:
    return run.shown is not None and (run.folder / run.shown.pictures).is_dir()


def sliders(run: ReportedRun) -> Iterator[Sliding]:
    """Pair the base's pictures with the checkpoint's: scored ones, or else those of the grid."""
    if run.evaluation is not None and run.shown is not None and run.untuned is not None:
        found = list(_scored_sliders(run, run.untuned, run.shown))
        if found:
            yield from found
            return
    samples = run.samples
    if samples is None or len(samples.rows) < 2 or samples.rows[0].label != BASE_LABEL:
        return
    for position, prompt in enumerate(samples.prompts[:_ROWS_SHOWN]):
        tile = position * len(samples.seeds)  # the first seed's
        before, after = (embed(row.tiles[tile]) for row in (samples.rows[0], samples.rows[-1]))
        yield Sliding(prompt, samples.seeds[0], before, after)


def _scored_sliders(run: ReportedRun, base: Checkpoint, tuned: Checkpoint) -> Iterator[Sliding]:
    if run.evaluation is None:
        return
    protocol = run.evaluation.protocol
    for position, prompt in enumerate(protocol.prompts[:_ROWS_SHOWN]):
        seed = protocol.seeds[0]
        name = picture_name(position, seed)
        before, after = (
            embed_file(run.folder / each.pictures / name, within=run.folder)
            for each in (base, tuned)
        )
        if before is not None and after is not None:
            yield Sliding(prompt, seed, before, after)


def strips(run: ReportedRun) -> Iterator[Strip]:
    """Line up each prompt's pictures: at most eight steps, and twelve rows of them."""
    samples = run.samples
    if samples is None:
        return
    rows = [samples.rows[position] for position in _spread(len(samples.rows), _STEPS_SHOWN)]
    seeds = samples.seeds[: max(1, _ROWS_SHOWN // len(samples.prompts))]
    for position, prompt in enumerate(samples.prompts[:_ROWS_SHOWN]):
        for column, seed in enumerate(seeds):
            tile = position * len(samples.seeds) + column
            tiles = [(row.label, embed(row.tiles[tile], _THUMBNAIL)) for row in rows]
            yield Strip(prompt, seed, tiles)


def _spread(count: int, most: int) -> list[int]:
    """Choose positions out of a row, evenly, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return [round(each * (count - 1) / (most - 1)) for each in range(most)]


def nearest_pairs(run: ReportedRun) -> Iterator[Pair]:
    """Pair samples with the training pictures most like them: copies first, then the nearest."""
    shown = run.shown
    if run.evaluation is None or shown is None:
        return
    protocol = run.evaluation.protocol
    nearest = sorted(shown.nearest, key=lambda each: (not each.memorised, -each.similarity))
    for each in nearest[:_PAIRS_SHOWN]:
        sample = run.folder / shown.pictures / picture_name(each.prompt, each.seed)
        yield Pair(
            protocol.prompts[each.prompt] if each.prompt < len(protocol.prompts) else "",
            each.seed,
            embed_file(sample, _THUMBNAIL, run.folder),
            _training_picture(run, each.picture),
            each.picture,
            number(each.similarity, 2),
            each.memorised,
        )


def hard_and_easy(run: ReportedRun) -> tuple[list[HardPicture], list[HardPicture]]:
    """Show the hardest pictures and the easiest; none is both."""
    losses = list(run.picture_losses.items())
    easy = min(_PICTURES_SHOWN, max(0, len(losses) - _PICTURES_SHOWN))
    return _pictures_of(run, losses[:_PICTURES_SHOWN]), _pictures_of(run, losses[::-1][:easy])


def _training_picture(run: ReportedRun, name: str) -> Embedded | None:
    folder = run.data_folder
    return embed_file(folder / name, _THUMBNAIL) if folder is not None else None


def _pictures_of(run: ReportedRun, losses: Sequence[tuple[str, PictureLoss]]) -> list[HardPicture]:
    return [
        HardPicture(_training_picture(run, name), name, number(each.relative_loss, 2))
        for name, each in losses
    ]
