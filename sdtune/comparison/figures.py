"""Pictures of a comparison: curves of the training loss, and samples side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sdtune.comparison.results import ComparedRun
from sdtune.comparison.settings import SUBJECT, FigureSettings
from sdtune.files.atomic_file import replaced_atomically
from sdtune.report.legend import draw_legend
from sdtune.run_folder.curves import running_mean
from sdtune.run_folder.grid_image import GridRow, draw_grid, sampling_caption
from sdtune.run_folder.layout import BASE_LABEL
from sdtune.run_folder.picture_file import read_png, write_png
from sdtune.run_folder.record import Checkpoint, Evaluation, picture_name

__all__ = ["draw_figure"]


def draw_figure(settings: FigureSettings, results: Sequence[ComparedRun], path: Path) -> bool:
    """Draw a picture into a PNG file.

    Args:
        settings: What to draw.
        results: All runs of the comparison; failed ones are left out.
        path: Where the file goes; an existing one is replaced.

    Returns:
        Whether any run had something to show; without, there is no file.
    """
    scored = [each for each in results if each.evaluation]
    shown = [each for each in scored if settings.runs is None or each.name in settings.runs]
    if settings.kind == "loss_curves":
        return _draw_curves([each for each in shown if each.loss], path)
    has_base = settings.runs is None or BASE_LABEL in settings.runs
    return _draw_samples(shown or scored[:1], settings.prompts, has_base, path)


def _draw_curves(shown: Sequence[ComparedRun], path: Path) -> bool:
    if not shown:
        return False
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.2), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    named = []
    for result in shown:
        if result.loss:
            curve = running_mean(result.loss)  # a step's loss is mostly the luck of its timesteps
            drawn = axes.plot(curve.steps, curve.values, linewidth=1.8)
            named.append((result.label, drawn[0]))
    axes.set_xlabel("step")
    axes.set_ylabel("training loss, running mean")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    draw_legend(axes, named, frameon=False)
    with replaced_atomically(path) as temporary:
        figure.savefig(temporary, format="png")
    return True


def _draw_samples(
    shown: Sequence[ComparedRun], numbers: Sequence[int] | None, has_base: bool, path: Path
) -> bool:
    rows, seen = [], set()
    headers: list[str] = []
    seeds: list[int] = []
    for result in shown:
        evaluation = result.evaluation
        if evaluation is None:
            continue
        prompts, seeds = evaluation.protocol.prompts, evaluation.protocol.seeds
        chosen = [each for each in numbers or range(len(prompts)) if each < len(prompts)]
        if not headers:
            subject = result.subject or SUBJECT
            headers = [prompts[each].replace(subject, SUBJECT[1:-1]) for each in chosen]
        base, last = evaluation.checkpoints[0], evaluation.checkpoints[-1]
        asked = tuple(prompts)
        if has_base and asked not in seen:
            seen.add(asked)
            rows.append(_row(_base_label(shown, result), evaluation, base, chosen, result.folder))
        rows.append(_row(result.label, evaluation, last, chosen, result.folder))
    if not rows:
        return False
    grid = draw_grid(rows, headers, seeds, _caption(shown[0].evaluation))
    write_png(path, grid)
    return True


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
    return BASE_LABEL if len(subjects) == 1 else f"{BASE_LABEL}, {result.subject}"


def _caption(evaluation: Evaluation | None) -> str:
    if evaluation is None:
        return ""
    terms = evaluation.protocol
    return sampling_caption(terms.num_inference_steps, terms.guidance_scale, terms.seeds)
