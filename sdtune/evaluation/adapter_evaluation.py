"""Any adapter, or all checkpoints of a run, scored against the base after training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from sdtune._checks import check_all, check_not_negative, check_positive
from sdtune._prompt_fields import PromptFields
from sdtune.adapters.adapter_files import trained_number
from sdtune.adapters.pipeline import find_adapter_files, load_adapter
from sdtune.adapters.registry import find_in_folder, read_words
from sdtune.data.sources.locations import check_location
from sdtune.data.sources.registry import check_source
from sdtune.evaluation.base_pictures import base_fingerprint
from sdtune.evaluation.best import BestRule, Goal, check_goal
from sdtune.evaluation.circumstances import device_name, library_versions
from sdtune.evaluation.earlier_record import (
    check_base_of,
    check_idle,
    check_same,
    earlier_record,
)
from sdtune.evaluation.evaluation_call import EvaluationCall
from sdtune.evaluation.evaluator import Evaluator
from sdtune.evaluation.judges import load_judges, missing_needs
from sdtune.evaluation.scored_adapter import (
    default_output,
    find_scored,
    has_own_adapter,
    label_apart,
    place_best,
)
from sdtune.evaluation.settings import check_settings, filled_settings
from sdtune.evaluation.trained_base import TrainedBase
from sdtune.evaluation.training_set import TrainingSet
from sdtune.files.text_file import read_lines
from sdtune.models.devices import chosen_device
from sdtune.models.loading import check_base, load
from sdtune.models.sampling import sample
from sdtune.models.stable_diffusion import StableDiffusion
from sdtune.run_folder.layout import ADAPTER, BASE_LABEL, RunFolder
from sdtune.run_folder.record import Checkpoint, Evaluation, EvaluationSettings, Provenance

__all__ = ["AdapterEvaluation"]

_STYLE_PICTURES = 32
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
        adapter = None if call.adapter is None else Path(call.adapter)
        run = None if adapter is None else _record_of(adapter, call.output)
        self.protocol = replace(run.protocol if run else _UNASKED, **_asked(call))
        self.base = call.base or (run.base.source if run else "nano")
        self.pictures = call.pictures or (run.training_pictures.folder if run else None)
        self.reading = self._reading(call, run)
        self.rule = _rule(call, run)
        self.style_pictures = _style_pictures(call, run, self.rule.goal)
        check_all(
            lambda: check_settings(self.protocol),
            lambda: check_goal(self.rule.goal, missing_needs(self.protocol, self.style_pictures)),
            lambda: check_base(self.base),
            lambda: _check_pictures(self.pictures),
            lambda: check_source(call.source),
            lambda: check_not_negative("style_pictures", call.style_pictures or 0),
            lambda: check_positive("clip_skip", call.clip_skip, of="integer"),
            lambda: chosen_device(call.device),
            lambda: check_positive("max_prompt_chunks", call.max_prompt_chunks, of="integer"),
        )
        scored = [] if adapter is None else find_scored(adapter)
        self._trained = TrainedBase(
            self.base, adapter, [each.path for each in scored], self.protocol
        )
        self._trained.check()
        if call.output:
            self.output = Path(call.output)
        else:
            own = adapter if run is not None else None
            self.output = own or default_output(adapter, scored)
        self.is_own = adapter is not None and has_own_adapter(self.output, adapter)
        self._check_output()
        self._earlier = earlier_record(self.output)
        self.adapters = label_apart(scored, self._earlier, self.is_own)
        self.clip_skip = self.protocol.clip_skip or self._trained_with("clip_skip")
        self.max_prompt_chunks = self.protocol.max_prompt_chunks or self._trained_with(
            "max_prompt_chunks"
        )
        self.protocol = replace(
            filled_settings(self.protocol, self._fields(), of=""),
            style_pictures=self.style_pictures,
            clip_skip=self.clip_skip,
            max_prompt_chunks=self.max_prompt_chunks,
            precision=self._trained.precision,
            quantization=self._trained.quantization,
        )
        self.device = chosen_device(call.device)
        self.run = run.run if run else self._describe()
        self._is_finished = run.finished if run else adapter is None or _is_whole(adapter)

    def evaluate(self) -> Evaluation:
        """Draw, score, and write `evaluation.json` and the pictures.

        Returns:
            The record.

        Raises:
            ValueError: If a model that judges is not available here, an adapter is for another
                kind of base, or the record in the output's folder cannot be added to.
        """
        training = TrainingSet.from_folder(**self.reading)
        evaluator = Evaluator(
            training,
            load_judges(self.protocol.clip, self.protocol.dino, len(self.protocol.seeds)),
            self.protocol,
            self.rule,
            self.run,
            self.output,
            words=self._words(),
            style_pictures=self.style_pictures,
        )
        past, record = self._earlier, RunFolder(self.output).record
        if past is not None:
            check_same(past, record, self.protocol, training.describe())
        for each in self.adapters:  # what does not fit shall not cost the base's pictures
            load_adapter(load(self.base), each.path)
        model = self._load().to(self.device)
        if past is not None:
            check_base_of(past, record, base_fingerprint(model))
        with self._trained.computing(self.device):
            evaluator.begin(model, partial(self._draw, model), clip_skip=self.clip_skip, past=past)
        for each in self.adapters:
            model = self._load()
            load_adapter(model, each.path)
            draw = partial(self._draw, model.to(self.device))
            with self._trained.computing(self.device):
                evaluator.evaluate(each.label, each.step, draw, sha256=each.sha256)
        check_idle(self.output)  # a run may have been gone on with meanwhile
        if self.is_own:
            best = evaluator.best()
            label = None if best is None else best.label
            found = None if label is None else evaluator.record.checkpoint(label)
            place_best(self.output, best, None if found is None else found.step)
        evaluator.locate(dict(self._kept(evaluator.record.checkpoints)))
        return evaluator.save(finished=past.finished if past else self._is_finished)

    def _check_output(self) -> None:
        """Make sure that no other process and no other run writes where the record goes."""
        check_idle(self.output)
        if RunFolder(self.output).config.is_file() and not self.is_own:
            raise ValueError(
                f"Expected `output` to be no run's folder but the adapter's own, but {self.output} "
                "is that of another run: name a folder such as runs/evaluate/compared."
            )

    def _reading(self, call: EvaluationCall, run: Evaluation | None) -> dict[str, Any]:
        """Say where the training pictures are, how they are read, and which ones are held out."""
        own = run.training_pictures if run and call.pictures is None else None
        return {
            "folder": self.pictures,
            **((own.reading if own else None) or {}),
            **({"held_out": own.held_out} if own and own.held_out else {}),
            **_given(
                source=call.source,
                caption_column=call.caption_column,
                image_column=call.image_column,
            ),
        }

    def _load(self) -> StableDiffusion:
        model = self._trained.load(self.device)
        model.max_prompt_chunks = self.max_prompt_chunks
        return model

    def _trained_with(self, name: str) -> int:
        """Read a number of the training in the adapters' headers; 1 where none says it."""
        return max((trained_number(each.header, name) for each in self.adapters), default=1)

    def _kept(self, checkpoints: Sequence[Checkpoint] = ()) -> Iterator[tuple[str, str]]:
        """Name the adapters that lie below the output, as a run's own record names them."""
        output = self.output.resolve()
        for each in checkpoints:
            place = each.adapter or f"{ADAPTER}/{each.label}"
            if each.label != BASE_LABEL and (output / place).exists():
                yield each.label, place
        for adapter in self.adapters:
            path = adapter.path.resolve()
            if path.is_relative_to(output):
                yield adapter.label, path.relative_to(output).as_posix()

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
        for each in self.adapters:
            for word in read_words(find_adapter_files(each.path)):
                words[word.placeholder_token] = word.initializer_token
        return {**words, **self._fields().words}

    def _fields(self) -> PromptFields:
        """Find what fields of prompts read, in the adapters' headers."""
        fields = PromptFields()
        for each in self.adapters:
            fields = PromptFields.from_json(each.header.get("sdtune.prompt_fields", ""))
        return fields

    def _describe(self) -> Provenance:
        header: Mapping[str, str] = self.adapters[-1].header if self.adapters else {}
        return Provenance(
            recipe="",
            technique=header.get("sdtune.technique", ""),
            seed=int(header["sdtune.seed"]) if "sdtune.seed" in header else None,
            max_steps=None,
            device=device_name(self.device),
            versions=library_versions(),
        )


def _record_of(adapter: Path, output: str | None) -> Evaluation | None:
    """Read the record of a run, or of that to whose folder one of its checkpoints is scored."""
    if output is not None and has_own_adapter(Path(output), adapter):
        return earlier_record(Path(output))
    return earlier_record(adapter)


def _asked(call: EvaluationCall) -> dict[str, Any]:
    """List what a call gives of the protocol."""
    texts = [*(call.prompt or []), *_lines(call.prompts)]
    return _given(
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
        clip_skip=call.clip_skip,
        max_prompt_chunks=call.max_prompt_chunks,
    )


def _rule(call: EvaluationCall, run: Evaluation | None) -> BestRule:
    """Choose by what the run was judged by, but for the goal that is given."""
    if run is not None and run.choice is not None:
        rule = BestRule(**asdict(run.choice))
    else:
        rule = BestRule("style" if run is None or "style_score" in run.metrics else "subject")
    return replace(rule, goal=call.goal) if call.goal else rule


def _style_pictures(call: EvaluationCall, run: Evaluation | None, goal: Goal) -> int:
    """Take as many as the run did, so that its scores stay; a goal needs them that it had not."""
    recorded = None if run is None else run.protocol.style_pictures
    if call.style_pictures is None and recorded is not None and (recorded or not call.goal):
        return recorded
    count = _STYLE_PICTURES if call.style_pictures is None else call.style_pictures
    return count if goal != "subject" else 0


def _is_whole(adapter: Path) -> bool:
    """Tell whether training reached its end, of a run without a record: it then has its adapter."""
    folder = RunFolder(adapter).adapter
    return bool(find_in_folder(folder)) if folder.is_dir() else True


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
