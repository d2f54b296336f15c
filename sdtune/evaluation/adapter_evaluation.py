"""Any adapter, or all checkpoints of a run, scored against the base after training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from sdtune._checks import check_all, check_not_negative, check_positive
from sdtune._prompt_fields import PromptFields
from sdtune.adapters.pipeline import find_adapter_files, load_adapter
from sdtune.adapters.registry import read_words, recognise
from sdtune.data.sources.locations import check_location
from sdtune.data.sources.registry import check_source
from sdtune.evaluation.best import BestRule, Goal, check_goal
from sdtune.evaluation.circumstances import device_name, library_versions
from sdtune.evaluation.evaluation_call import EvaluationCall
from sdtune.evaluation.evaluator import Evaluator
from sdtune.evaluation.judges import load_judges, missing_needs
from sdtune.evaluation.settings import check_settings, filled_settings
from sdtune.evaluation.training_set import TrainingSet
from sdtune.files.text_file import read_lines
from sdtune.models.devices import chosen_device
from sdtune.models.loading import check_base, load
from sdtune.models.sampling import sample
from sdtune.models.stable_diffusion import StableDiffusion
from sdtune.run_folder.layout import RunFolder, by_step, step_of
from sdtune.run_folder.record import Evaluation, EvaluationSettings, Provenance

__all__ = ["AdapterEvaluation"]

_OUTPUT = Path("runs", "evaluate")
_UNASKED = EvaluationSettings(
    prompts=[],
    seeds=[0, 1],
    class_prompts=[],
    num_inference_steps=25,
    guidance_scale=7.5,
    negative_prompt="",
    clip="nano",
    dino=None,
)
"""What an adapter without a run is asked, but for what the call gives."""


class AdapterEvaluation:
    """Draws with adapters and with their base, and scores both.

    Args:
        call: What is asked.

    Raises:
        FileNotFoundError: If there is no such adapter.
        ValueError: If the call or the pictures are wrong, with a line for each problem.
    """

    def __init__(self, call: EvaluationCall) -> None:
        run = None if call.adapter is None else _record_of(Path(call.adapter))
        texts = [*(call.prompt or []), *_lines(call.prompts)]
        asked = run.protocol if run else _UNASKED
        given = _given(
            prompts=texts or None,
            seeds=None if call.seeds is None else list(call.seeds),
            class_prompts=call.class_prompt,
            num_inference_steps=call.num_inference_steps,
            guidance_scale=call.guidance_scale,
            negative_prompt=call.negative_prompt,
            clip=call.clip,
            dino=call.dino,
            width=call.width,
            height=call.height,
        )
        self.protocol = replace(asked, **given)
        self.base = call.base or (run.base.source if run else "nano")
        self.pictures = call.pictures or (run.training_pictures.folder if run else None)
        own_reading = run.training_pictures.reading if run and call.pictures is None else None
        self.reading: dict[str, Any] = {
            "folder": self.pictures,
            **(own_reading or {}),
            **_given(
                source=call.source,
                caption_column=call.caption_column,
                image_column=call.image_column,
            ),
        }
        own: Goal = "style" if run is None or "style_score" in run.metrics else "subject"
        self.goal: Goal = call.goal or own
        self.style_pictures = call.style_pictures if self.goal != "subject" else 0
        check_all(
            lambda: check_settings(self.protocol),
            lambda: check_goal(self.goal, missing_needs(self.protocol, self.style_pictures)),
            lambda: check_base(self.base),
            lambda: _check_pictures(self.pictures),
            lambda: check_source(call.source),
            lambda: check_not_negative("style_pictures", call.style_pictures),
            lambda: check_positive("clip_skip", call.clip_skip, of="integer"),
            lambda: chosen_device(call.device),
            lambda: check_positive("max_prompt_chunks", call.max_prompt_chunks, of="integer"),
        )
        self.adapters = {} if call.adapter is None else _checkpoints(Path(call.adapter))
        self.protocol = filled_settings(self.protocol, self._fields(), of="")
        self.clip_skip = call.clip_skip
        self.max_prompt_chunks = call.max_prompt_chunks or self._trained_with_chunks()
        self.device = chosen_device(call.device)
        own_output = _output_of(call.adapter, has_record=run is not None)
        self.output = Path(call.output) if call.output else own_output
        self.run = run.run if run else self._describe()

    def evaluate(self) -> Evaluation:
        """Draw, score, and write `evaluation.json` and the pictures.

        Returns:
            The record.

        Raises:
            ValueError: If a model that judges is not available here, an adapter is for another
                kind of base, or the record in the output's folder cannot be added to.
        """
        evaluator = Evaluator(
            TrainingSet.from_folder(**self.reading),
            load_judges(self.protocol.clip, self.protocol.dino, len(self.protocol.seeds)),
            self.protocol,
            BestRule(self.goal),
            self.run,
            self.output,
            words=self._words(),
            style_pictures=self.style_pictures,
        )
        past = self._past()
        for path in self.adapters.values():  # what does not fit shall not cost the base's pictures
            load_adapter(load(self.base), path)
        model = self._load().to(self.device)
        evaluator.begin(model, partial(self._draw, model), clip_skip=self.clip_skip, past=past)
        for label, path in self.adapters.items():
            model = self._load()
            load_adapter(model, path)
            draw = partial(self._draw, model.to(self.device))
            evaluator.evaluate(label, _step_of(path), draw)
        evaluator.locate(dict(self._kept()))
        return evaluator.save(finished=True)

    def _load(self) -> StableDiffusion:
        model = load(self.base)
        model.max_prompt_chunks = self.max_prompt_chunks
        return model

    def _trained_with_chunks(self) -> int:
        headers = (_header(path) for path in self.adapters.values())
        said = (header.get("sdtune.max_prompt_chunks", "1") for header in headers)
        return max((int(each) for each in said if each.isdecimal()), default=1)

    def _kept(self) -> Iterator[tuple[str, str]]:
        """Name the adapters that lie below the output, as a run's own record names them."""
        output = self.output.resolve()
        for label, path in self.adapters.items():
            if path.resolve().is_relative_to(output):
                yield label, path.resolve().relative_to(output).as_posix()

    def _past(self) -> Evaluation | None:
        past = _record_of(self.output)
        if past is not None and past.protocol != self.protocol:
            raise ValueError(
                f"Expected {RunFolder(self.output).record} to be of the same prompts, seeds, "
                "sampler, size and judges, for only then can it be added to, but it is not: give "
                "another `output`."
            )
        return past

    def _draw(self, model: StableDiffusion, prompts: Sequence[str], seeds: Sequence[int]) -> Tensor:
        return sample(
            model,
            prompts,
            seeds=seeds,
            num_inference_steps=self.protocol.num_inference_steps,
            guidance_scale=self.protocol.guidance_scale,
            negative_prompt=self.protocol.negative_prompt,
            width=self.protocol.width,
            height=self.protocol.height,
            clip_skip=self.clip_skip,
        )

    def _words(self) -> dict[str, str]:
        """Find the subjects' words, and what the base reads for them, in the adapters' files."""
        words: dict[str, str] = {}
        for path in self.adapters.values():
            for word in read_words(find_adapter_files(path)):
                words[word.placeholder_token] = word.initializer_token
        return {**words, **self._fields().words}

    def _fields(self) -> PromptFields:
        """Find what fields of prompts read, in the adapters' headers."""
        fields = PromptFields()
        for path in self.adapters.values():
            fields = PromptFields.from_json(_header(path).get("sdtune.prompt_fields", ""))
        return fields

    def _describe(self) -> Provenance:
        header: Mapping[str, str] = {}
        for path in self.adapters.values():
            header = _header(path)
        return Provenance(
            recipe="",
            technique=header.get("sdtune.technique", ""),
            seed=int(header["sdtune.seed"]) if "sdtune.seed" in header else None,
            max_steps=None,
            device=device_name(self.device),
            versions=library_versions(),
        )


def _record_of(adapter: Path) -> Evaluation | None:
    return Evaluation.load(adapter) if RunFolder(adapter).record.is_file() else None


def _output_of(adapter: str | None, has_record: bool) -> Path:
    if adapter is None:
        return _OUTPUT / "base"
    return Path(adapter) if has_record else _OUTPUT / Path(adapter).stem


def _checkpoints(adapter: Path) -> dict[str, Path]:
    """Find the checkpoints of a run, or the one adapter that there is."""
    steps = by_step(RunFolder(adapter).adapter)
    if steps:
        return {each.name: each for each in steps.values()}
    find_adapter_files(adapter)  # raises if there is none
    return {adapter.stem: adapter}


def _header(path: Path) -> Mapping[str, str]:
    weights = find_adapter_files(path)[-1]
    return recognise(weights).metadata(weights)


def _step_of(path: Path) -> int:
    step = step_of(path.name)
    if step is not None:
        return step
    header = _header(path)
    steps = header.get("sdtune.steps") or header.get("ss_steps") or "0"
    return int(steps) if steps.isdecimal() else 0


def _lines(path: str | None) -> list[str]:
    if path is None:
        return []
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"Expected `prompts` to be a text file with a prompt in each line, but got `{path}`, "
            "which is no file."
        )
    return read_lines(Path(path), "prompts", "a prompt")


def _check_pictures(pictures: str | dict[str, int] | None) -> None:
    if pictures is None:
        raise ValueError(
            "Expected `pictures` to be the folder of the training pictures, but it is missing."
        )
    check_location("pictures", pictures)


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
