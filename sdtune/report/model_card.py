"""A model card for a hub: what was trained, its trigger words, samples, scores with intervals."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sdtune._prompt_fields import PromptFields
from sdtune._wording import counted
from sdtune.models import NANO
from sdtune.report.figures import metric_rows
from sdtune.report.plain_markdown import code, fenced, plain
from sdtune.report.run import ReportedRun
from sdtune.report.usage import Snippet, describe_use
from sdtune.run_folder.record import Checkpoint
from sdtune.run_folder.training_record import read_record

__all__ = ["CardPicture", "model_card", "public_base", "trigger_words"]

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_KINDS = {"TextualInversionModule": "textual_inversion", "DreamBoothModule": "dreambooth"}
_SETTINGS = {
    "sdtune.technique": "technique",
    "sdtune.adapter_type": "kind",
    "sdtune.rank": "rank",
    "sdtune.alpha": "alpha",
    "sdtune.text_encoder_rank": "rank in the text encoder",
    "sdtune.num_vectors": "vectors a word",
    "sdtune.learning_rate": "learning rate",
    "sdtune.text_encoder_learning_rate": "learning rate of the text encoder",
    "sdtune.optimizer": "optimizer",
    "sdtune.lr_schedule": "schedule",
    "sdtune.steps": "steps",
    "sdtune.batch_size": "batch",
    "sdtune.resolution": "resolution",
    "sdtune.num_train_images": "training pictures",
    "sdtune.seed": "seed",
}


@dataclass(frozen=True)
class CardPicture:
    """A picture of the card.

    Attributes:
        name: Its path below the folder.
        prompt: What was asked for; empty for a grid of several.
        before: The base's picture for the same prompt and seed; empty if there is none.
    """

    name: str
    prompt: str
    before: str = ""


def public_base(base: str) -> str:
    """Name a base without saying where it lies: a hub's id as it is, of a path its last part.

    Args:
        base: As a recipe names it.
    """
    name = base.partition("@")[0]
    if _HUB_ID.fullmatch(name) and not Path(base).exists():
        return base
    return re.split(r"[\\/]", base.rstrip("\\/"))[-1]


def trigger_words(metadata: Mapping[str, str]) -> list[str]:
    """List the words that a prompt has to say for an adapter to show what it learned.

    Args:
        metadata: Strings of the adapter's header.

    Returns:
        The words, such as "qqq robot" or "<robot>"; empty for a style without any.
    """
    fields = PromptFields.from_json(metadata.get("sdtune.prompt_fields", "")).readings
    told = [each.tuned for name, each in fields.items() if not name.startswith("class")]
    told = told or [metadata.get("modelspec.trigger_phrase", "")]
    return list(dict.fromkeys(filter(None, told)))


def model_card(
    run: ReportedRun,
    checkpoint: Checkpoint | None,
    files: Sequence[Path],
    metadata: Mapping[str, str],
    pictures: Sequence[CardPicture],
    *,
    license: str,
    license_name: str | None = None,
    name: str,
    step: int,
    base_model: str | None = None,
) -> str:
    """Write the README of a folder that is ready to upload.

    Args:
        run: The run.
        checkpoint: The adapter's scores; None if it has none.
        files: The adapter's files in the folder, as `find_adapter_files` lists them.
        metadata: Strings of its header.
        pictures: Those in the folder.
        license: As the hub names it, such as `cc-by-sa-4.0`.
        license_name: What `other` is called.
        name: What the folder is called.
        step: Optimizer steps that the adapter was trained.
        base_model: Id of the base on the hub, if the recipe's own is none.

    Returns:
        Markdown, with the front matter that the hub reads.
    """
    base = base_model or public_base(run.base)
    words = trigger_words(metadata)
    named = {"license": license, **({} if license_name is None else {"license_name": license_name})}
    front = _front_matter(base, words, metadata, pictures, named)
    lines = ["---", yaml.safe_dump(front, sort_keys=False, allow_unicode=True).rstrip(), "---", ""]
    lines += [f"# {plain(name)}", "", *_introduction(run, base, metadata, step), ""]
    if words:
        said = ", ".join(map(code, words))
        lines += ["## Trigger words", "", f"A prompt has to say {said}.", ""]
    lines += [*_samples(pictures), *_use(base, files, pictures, words, run.recipe)]
    lines += [*_scores(run, checkpoint), *_training(metadata)]
    return "\n".join(lines).rstrip() + "\n"


def _front_matter(
    base: str,
    words: Sequence[str],
    metadata: Mapping[str, str],
    pictures: Sequence[CardPicture],
    license: Mapping[str, str],
) -> dict[str, Any]:
    front: dict[str, Any] = {"library_name": "diffusers", **license}
    if _HUB_ID.fullmatch(base.partition("@")[0]):
        front |= {"base_model": base.partition("@")[0], "base_model_relation": "adapter"}
    front["pipeline_tag"] = "text-to-image"
    if words:
        front["instance_prompt"] = words[0]
    front["tags"] = _tags(base, metadata)
    shown = [each for each in pictures if each.prompt]
    if shown:
        front["widget"] = [{"text": each.prompt, "output": {"url": each.name}} for each in shown]
    return front


def _tags(base: str, metadata: Mapping[str, str]) -> list[str]:
    told = metadata.get("ss_base_model_version", "")
    family = "nano" if base == NANO else "stable-diffusion"
    tags = ["text-to-image", "stable-diffusion-xl" if "xl" in told.lower() else family]
    if (kind := metadata.get("sdtune.adapter_type", "")) and kind != "None":
        tags.append(kind)
    technique = _KINDS.get(metadata.get("sdtune.technique", ""))
    return list(dict.fromkeys([*tags, *([technique] if technique else []), "sdtune"]))


def _introduction(
    run: ReportedRun, base: str, metadata: Mapping[str, str], step: int
) -> Iterator[str]:
    count = metadata.get("sdtune.num_train_images")
    of = f", from {count} {'picture' if count == '1' else 'pictures'}" if count else ""
    trained = f"{run.technique or 'An adapter'} on {base}{of}: step {step} of {run.recipe}"
    yield f"{plain(trained)}, by sdtune."
    if base == NANO:
        yield ""
        yield (
            "nano is a Stable Diffusion of 64 pixels that comes with sdtune, for trying things "
            "out; other programs do not know it."
        )


def _samples(pictures: Sequence[CardPicture]) -> Iterator[str]:
    if not pictures:
        return
    yield from ("## Samples", "")
    pairs = [each for each in pictures if each.prompt]
    if pairs:
        yield from ("| prompt | base | with the adapter |", "|---|---|---|")
        for each in pairs:
            before = f"![base]({each.before})" if each.before else ""
            yield f"| {plain(each.prompt)} | {before} | ![adapter]({each.name}) |"
        yield ""
    for each in pictures:
        if not each.prompt:
            yield from (f"![rows of steps, the base first]({each.name})", "")


def _use(
    base: str,
    files: Sequence[Path],
    pictures: Sequence[CardPicture],
    words: Sequence[str],
    recipe: str,
) -> Iterator[str]:
    prompts = [each.prompt for each in pictures if each.prompt]
    prompt = (prompts or [f"a {words[0]}" if words else "a cat"])[0]
    yield from ("## How to draw with it", "")
    for snippet in describe_use(base, files, prompt, recipe):
        yield from _snippet(snippet)


def _snippet(snippet: Snippet) -> Iterator[str]:
    yield from (f"**{snippet.title}**", "")
    if snippet.note:
        yield from (snippet.note, "")
    if snippet.text:
        language = "" if snippet.text.startswith("#") else "python"
        yield from (fenced(snippet.text, language), "")


def _scores(run: ReportedRun, checkpoint: Checkpoint | None) -> Iterator[str]:
    if run.evaluation is None or checkpoint is None:
        yield from ("## Scores", "", "Nothing was measured.", "")
        return
    protocol = run.evaluation.protocol
    prompts = counted(len(protocol.prompts), "prompt")
    yield from (
        "## Scores",
        "",
        f"Of {prompts} with {counted(len(protocol.seeds), 'seed')} "
        f"each, {counted(protocol.num_inference_steps, 'step')}, guidance "
        f"{protocol.guidance_scale:g}, judged by CLIP {plain(public_base(protocol.clip))}. In "
        "brackets, the 95 % intervals over prompts and seeds.",
        "",
        "| | base | with the adapter | difference | |",
        "|---|---|---|---|---|",
    )
    rows = metric_rows(run.evaluation, run.untuned, checkpoint)
    for row in rows:
        cells = (row.title, *map(_figure, (row.base, row.tuned, row.difference)), row.verdict)
        yield f"| {' | '.join(map(plain, cells))} |"
    yield ""
    for row in rows:
        yield f"- **{plain(row.title)}** ({row.direction}): {plain(row.meaning)}"
    yield ""


def _figure(words: tuple[str, str]) -> str:
    value, between = words
    return f"{value} ({between})" if value and between else value


def _training(metadata: Mapping[str, str]) -> Iterator[str]:
    told = {text: metadata[key] for key, text in _SETTINGS.items() if key in metadata}
    told = {text: value for text, value in told.items() if value not in ("None", "")}
    if told:
        yield from ("## Training", "", "| | |", "|---|---|")
        yield from (f"| {text} | {plain(value)} |" for text, value in told.items())
        yield from _changes(metadata)
        yield from ("", "The whole record is in the file's header: `sdtune inspect` shows it.")


def _changes(metadata: Mapping[str, str]) -> Iterator[str]:
    """Say what was changed on the run's way: its settings are those of the last start."""
    try:
        changes = read_record(metadata, "the adapter's header").changes
    except ValueError:  # of an older sdtune, or of another program
        return
    if changes:
        yield from ("", "These are the settings at its end. The run was resumed, and changed:", "")
        yield from (f"- {plain(each)}" for each in changes)
