"""Pictures of a comparison: curves of the training loss, and samples side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from sdtune.comparison.measures import losses_apart
from sdtune.comparison.results import ComparedRun
from sdtune.comparison.settings import SUBJECT, FigureSettings
from sdtune.files.atomic_file import replaced_atomically
from sdtune.report.legend import draw_legend
from sdtune.run_folder.curves import running_mean
from sdtune.run_folder.grid_image import GridRow, draw_grid, sampling_caption
from sdtune.run_folder.layout import BASE_LABEL
from sdtune.run_folder.picture_file import read_png, write_png
from sdtune.run_folder.record import Checkpoint, Evaluation, picture_name

__all__ = ["DrawnFigure", "draw_figure", "draw_figures"]


@dataclass(frozen=True)
class DrawnFigure:
    """A picture that was asked for.

    Attributes:
        settings: What it shows.
        png: The content of its file; empty if no run had something to show.
        problem: Why it could not be drawn, one sentence; empty if nothing went wrong.
    """

    settings: FigureSettings
    png: bytes = b""
    problem: str = ""


def draw_figures(
    figures: Iterable[FigureSettings], results: Sequence[ComparedRun]
) -> list[DrawnFigure]:
    """Draw all pictures of a comparison. One that cannot be drawn keeps no other from it.

    Args:
        figures: What to draw.
        results: All runs of the comparison, failed ones included.

    Returns:
        The pictures, in the same order.
    """
    with TemporaryDirectory() as folder:
        return [_drawn(each, results, Path(folder, "figure.png")) for each in figures]


def _drawn(settings: FigureSettings, results: Sequence[ComparedRun], path: Path) -> DrawnFigure:
    try:
        is_there = draw_figure(settings, results, path)
    except Exception as error:  # whatever it is: hours of training are behind it
        words = " ".join(str(error).split()) or type(error).__name__
        return DrawnFigure(
            settings, problem=f"The figure `{settings.title}` could not be drawn: {words}"
        )
    return DrawnFigure(settings, path.read_bytes() if is_there else b"")


def draw_figure(settings: FigureSettings, results: Sequence[ComparedRun], path: Path) -> bool:
    """Draw a picture into a PNG file.

    Args:
        settings: What to draw.
        results: All runs of the comparison; failed ones are left out.
        path: Where the file goes; an existing one is replaced.

    Returns:
        Whether any run had something to show; without, no file is written.

    Raises:
        ValueError: If a prompt is asked for that was not evaluated, or pictures are damaged.
        FileNotFoundError: If pictures are missing.
    """
    scored = [each for each in results if each.evaluation]
    shown = [each for each in scored if settings.runs is None or each.name in settings.runs]
    if settings.kind == "loss_curves":
        return _draw_curves(shown, path)
    has_base = settings.runs is None or BASE_LABEL in settings.runs
    base_of = scored[:1] if has_base and not shown else []
    return _draw_samples(shown, base_of, settings.prompts, has_base, path)


def _draw_curves(results: Sequence[ComparedRun], path: Path) -> bool:
    shown = [(each, each.loss) for each in results if each.loss]
    if not shown:
        return False
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.2), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    named = []
    for result, loss in shown:
        curve = running_mean(loss)  # a step's loss is mostly the luck of its timesteps
        drawn = axes.plot(curve.steps, curve.values, linewidth=1.8)
        named.append((result.label, drawn[0]))
    axes.set_xlabel("step")
    axes.set_ylabel("training loss, running mean")
    if differences := losses_apart([result for result, _ in shown]):
        title = f"not the same loss: {differences}"
        axes.set_title(title, fontsize="small", wrap=True, parse_math=False)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    draw_legend(axes, named, frameon=False)
    with replaced_atomically(path) as temporary:
        figure.savefig(temporary, format="png")
    return True


def _draw_samples(
    shown: Sequence[ComparedRun],
    base_of: Sequence[ComparedRun],
    numbers: Sequence[int] | None,
    has_base: bool,
    path: Path,
) -> bool:
    """Draw a row for each run and each base; of `base_of` the base alone."""
    rows, seen = [], set()
    headers: list[str] = []
    seeds: list[int] = []
    for result in (*shown, *base_of):
        evaluation = result.evaluation
        if evaluation is None:
            continue
        prompts, seeds = evaluation.protocol.prompts, evaluation.protocol.seeds
        chosen = _chosen(numbers, len(prompts))
        if not headers:
            subject = result.subject or SUBJECT
            headers = [prompts[each].replace(subject, SUBJECT[1:-1]) for each in chosen]
        base, last = evaluation.checkpoints[0], evaluation.checkpoints[-1]
        asked = tuple(prompts)
        if has_base and asked not in seen:
            seen.add(asked)
            label = _base_label(shown, result)
            rows.append(_row(label, evaluation, base, chosen, result.folder))
        if shown:
            rows.append(_row(result.label, evaluation, last, chosen, result.folder))
    if not rows:
        return False
    grid = draw_grid(rows, headers, seeds, _caption([*shown, *base_of][0].evaluation))
    write_png(path, grid)
    return True


def _chosen(numbers: Sequence[int] | None, count: int) -> Sequence[int]:
    if numbers is None:
        return range(count)
    missing = [each for each in numbers if not 0 <= each < count]
    if missing:
        raise ValueError(
            f"Expected `prompts` to be among the {count} that were evaluated, counted from 0, but "
            f"got {', '.join(map(str, missing))}."
        )
    return numbers


def _row(
    label: str, evaluation: Evaluation, checkpoint: Checkpoint, prompts: Sequence[int], run: Path
) -> GridRow:
    tiles = []
    for prompt in prompts:
        for seed in evaluation.protocol.seeds:
            path = run / checkpoint.pictures / picture_name(prompt, seed)
            tiles.append(read_png(path).convert("RGB"))
    return GridRow(label, tiles)


def _base_label(shown: Sequence[ComparedRun], result: ComparedRun) -> str:
    subjects = {each.subject for each in shown}
    return BASE_LABEL if len(subjects) <= 1 else f"{BASE_LABEL}, {result.subject}"


def _caption(evaluation: Evaluation | None) -> str:
    if evaluation is None:
        return ""
    terms = evaluation.protocol
    return sampling_caption(terms.num_inference_steps, terms.guidance_scale, terms.seeds)
