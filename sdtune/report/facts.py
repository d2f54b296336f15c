"""What was run, and what a reader should know first, in words."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sdtune._wording import counted
from sdtune.data.survey_words import percent_kept
from sdtune.evaluation.rounding import percent
from sdtune.report.run import ReportedRun
from sdtune.report.words import duration
from sdtune.run_folder.picture_losses import PictureLoss
from sdtune.run_folder.record import Checkpoint, Evaluation

__all__ = ["count_sentence", "facts", "lacks", "nearest_sentence", "notices", "summary", "told"]


def summary(run: ReportedRun) -> str:
    """Say in one sentence what was trained, on what, and for how long."""
    taken = run.steps_taken
    is_whole = run.is_finished and taken == run.max_steps
    of = f" of {run.max_steps}" if run.max_steps and not is_whole else ""
    parts = [run.technique or "A technique that is not recorded"]
    parts.append(f"on {run.base}" if run.base else "")
    if run.evaluation is not None and run.evaluation.training_pictures.count:
        parts.append(f"with {counted(run.evaluation.training_pictures.count, 'picture')}")
    steps = f"{taken}{of} steps"
    return " ".join(part for part in parts if part) + f", {steps}."


def notices(run: ReportedRun) -> Iterator[str]:
    """Say what the page cannot show, one sentence each."""
    if not run.is_finished:
        of = f" of {run.max_steps}" if run.max_steps else ""
        yield (
            f"This run is not finished: it got to step {run.last_step}{of}, and the page shows "
            "what there was by then."
        )
    yield from lacks(run)


def lacks(run: ReportedRun) -> Iterator[str]:
    """Say what the page of a run that has ended cannot show, finished or not, a sentence each."""
    if run.evaluation is None:
        yield (
            "Nothing was scored in this run, so there are no figures and no best checkpoint: add "
            "sdtune.EvaluationCallback to the recipe, or run `sdtune evaluate`."
        )
    if run.misplaced_best is not None:
        yield f"{run.misplaced_best} Run `sdtune evaluate` to have the two agree."
    yield from told(run)


def told(run: ReportedRun) -> list[str]:
    """Say what of a run cannot be read, or not all of it, a sentence each."""
    return [*run.problems, *run.curve_problems]


def nearest_sentence(checkpoint: Checkpoint) -> str:
    """Say how many of a checkpoint's samples may be copies of training pictures."""
    count, copies = len(checkpoint.nearest), sum(each.memorised for each in checkpoint.nearest)
    if not copies:
        return (
            f"None of the {count} samples is so near to a training picture that it may be a copy."
        )
    are = "is" if copies == 1 else "are"
    return (
        f"{copies} of the {count} samples {are} nearer to a training picture than training "
        "pictures are to each other, and may be copies: look at them."
    )


def count_sentence(losses: Collection[PictureLoss]) -> str:
    """Say how far the order of hard and easy pictures is to be trusted."""
    if not losses:
        return ""
    counts = sorted(each.count for each in losses)
    usual = counts[len(counts) // 2]
    note = f"Each picture was trained on about {usual} times"
    return f"{note}, which is few: the order is partly chance." if usual < 30 else f"{note}."


def facts(run: ReportedRun) -> Iterator[tuple[str, str]]:
    """Name what a repetition needs, and what the run took: names and texts."""
    yield "run", run.name
    if run.technique:
        yield "technique", run.technique
    evaluation = run.evaluation
    if run.base:
        fingerprint = f", SHA-256 {evaluation.base.fingerprint}" if evaluation else ""
        yield "base", f"{run.base}{_quantised(run)}{fingerprint}"
    if evaluation is not None:
        data = evaluation.training_pictures
        yield "training pictures", f"{data.count} in {data.folder}, SHA-256 {data.sha256}"
    elif run.data_folder is not None:
        yield "training pictures", str(run.data_folder)
    steps = str(run.steps_taken) + (f" of {run.max_steps}" if run.max_steps else "")
    yield "steps", steps
    yield from _changes(run)
    seed = run.config.get("seed")
    if seed is not None:
        yield "seed", str(seed)
    if evaluation is not None and evaluation.run.device:
        yield "device", evaluation.run.device
    seconds = max((c.seconds[-1] for c in run.curves.values() if c.seconds), default=0.0)
    if seconds:
        yield "time", f"{duration(seconds)} from the first logged step to the last"
    if evaluation is not None:
        yield from _evaluation_facts(evaluation)
    elif run.config_text.startswith("#"):
        yield "versions", run.config_text.splitlines()[0].lstrip("# ")


def _quantised(run: ReportedRun) -> str:
    kept = run.argument("model", "quantization")
    return f", its linear layers quantised while training ({kept})" if kept else ""


def _changes(run: ReportedRun) -> Iterator[tuple[str, str]]:
    for resume in filter(lambda each: each.changes, run.resumes):
        changes = ", ".join(map(str, resume.changes))
        yield f"from step {resume.step} on", f"resumed with another recipe: {changes}"


def _evaluation_facts(evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    cost, protocol = evaluation.cost, evaluation.protocol
    share = f", {percent(cost.share_of_run)} of the run" if cost.share_of_run is not None else ""
    parts = f"{duration(cost.drawing_seconds)} to draw, {duration(cost.scoring_seconds)} to score"
    yield "evaluation took", f"{duration(cost.seconds)}{share}: {parts}"
    prompts = counted(len(protocol.prompts), "prompt")
    drawn = f"{prompts}, {counted(len(protocol.seeds), 'seed')} for each"
    steps = f"{counted(protocol.num_inference_steps, 'step')}, guidance {protocol.guidance_scale:g}"
    size = f", {evaluation.size[0]}x{evaluation.size[1]}" if evaluation.size else ""
    yield "scored on", f"{drawn}, {steps}{size}"
    kept = evaluation.training_pictures.kept
    if kept is not None and kept < 1:
        yield "compared with", f"the middle of each training picture, {percent_kept(kept)} of it"
    yield "judges", f"CLIP {protocol.clip}" + (f", DINO {protocol.dino}" if protocol.dino else "")
    versions = {"sdtune": evaluation.sdtune, **evaluation.run.versions}
    yield "versions", ", ".join(f"{name} {version}" for name, version in versions.items())
