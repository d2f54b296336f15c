"""A module around a base whose prompts are encoded: once, or at every step where that is needed."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import astuple, replace
from inspect import currentframe
from typing import Any, Protocol, runtime_checkable

import lightning.pytorch as pl
import torch
from torch import Tensor

from sdtune._checks import shortened
from sdtune._prompt_fields import Subject
from sdtune._wording import counted
from sdtune.adapters.words import Placeholder
from sdtune.models import Conditioning, PromptCache, StableDiffusion, load_tokenizers
from sdtune.models.prompt_chunks import split_prompts
from sdtune.models.skeleton import find_resolution
from sdtune.models.substitution import substitute
from sdtune.techniques.encoding import encode_before_training
from sdtune.techniques.learned_words import LearnedWords
from sdtune.techniques.watched_module import WatchedModule

__all__ = ["PromptEncodingModule"]

_LINES = 20
_WORDS = "words"


@runtime_checkable
class _HasCaptions(Protocol):
    def captions(self) -> list[str]: ...


@runtime_checkable
class _HasSize(Protocol):
    def problems_at(self, resolution: int) -> list[str]: ...


@runtime_checkable
class _HasSubjects(Protocol):
    @property
    def subjects(self) -> Sequence[Subject | None]: ...

    def name_subjects(
        self, placeholders: Sequence[str], base: str, initializers: Sequence[str] = ()
    ) -> None: ...


class PromptEncodingModule(WatchedModule):
    """A frozen base, what is added to it, and the prompts that are encoded for it.

    A prompt is encoded once, unless what encodes it learns, or the data draws more captions than
    could be listed.

    Args:
        **arguments: See `WatchedModule`.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._prompts = PromptCache()
        self._captions_are_drawn = False
        self._exchanges = 0

    def encodes_anew(self, caption: str) -> bool:
        """Tell whether what a caption is encoded to can change from step to step.

        Args:
            caption: A caption.

        Returns:
            Whether it can, for anything that learns.
        """
        return any(each.encodes_anew(caption) for each in self.learns)

    @property
    def resolution(self) -> int:
        """Side of the square pictures that the base was made for, in pixels; loads no weights."""
        return find_resolution(self.base)

    def problems_with(self, data: object) -> list[str]:
        """List what keeps it from learning from some data; loads no weights.

        Args:
            data: A data module, set up or not.

        Returns:
            One sentence each.
        """
        problems = [line for each in self._words() for line in each.problems_with_words(self.base)]
        problems += super().problems_with(data)
        return problems + (data.problems_at(self.resolution) if isinstance(data, _HasSize) else [])

    def name_subjects(self, data: object) -> None:
        """Agree with some data on what its subjects are called, before it is read.

        Args:
            data: A data module, set up or not; without subjects nothing is done.
        """
        if not isinstance(data, _HasSubjects):
            return
        for each in self.learns:
            each.name_subjects(data.subjects, self.base)
        tokens, initializers = self._record_words()
        data.name_subjects(tokens, self.base, initializers)

    def _record_words(self) -> tuple[list[str], list[str]]:
        """Keep the words as hyperparameters; return them, and what they start from."""
        words = [word for each in self._words() for word in each.words]
        tokens = [each.token for each in words]
        initializers = [each.initializer_token for each in words]
        for name, values in (("placeholder_token", tokens), ("initializer_token", initializers)):
            if name in self.hparams:  # so that adapters and checkpoints say them
                self.save_hyperparameters({name: values[0] or None}, frame=currentframe())
            elif f"{name}s" in self.hparams:
                listed = list(values) if all(values) else None
                self.save_hyperparameters({f"{name}s": listed}, frame=currentframe())
        return tokens, initializers

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """Return what learns, and beside it, as torch keeps versions, what its words are called."""
        state = super().state_dict(*args, **kwargs)
        described = getattr(state, "_metadata", {}).get(kwargs.get("prefix", "")[:-1])
        if described is not None and self._words():
            words = [[astuple(word) for word in each.words] for each in self._words()]
            described[_WORDS] = words
        return state

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Load what learns; words without names take those that the state has.

        Processes that Lightning forks see the data, and the one that forked them does not.

        Raises:
            RuntimeError: If the names differ from those of what learns here.
        """
        found = getattr(state_dict, "_metadata", {}).get("", {}).get(_WORDS, [])
        if found and "model" not in self._modules:
            for each, words in zip(self._words(), found, strict=False):
                each.take_words([Placeholder(*word) for word in words])
            self._record_words()
        return super().load_state_dict(state_dict, strict=strict, assign=assign)

    def configure_callbacks(self) -> list[pl.Callback]:
        """Agree with the data on words, and then compare, see `TunedModelModule`."""
        self.name_subjects(getattr(self.trainer, "datamodule", None))
        return super().configure_callbacks()

    def notes_with(self, data: object) -> list[str]:
        """Say which captions of some data lose words; loads tokenizers, and no weights.

        Args:
            data: A data module without problems.

        Returns:
            A line for what is cut, and one for each of the first such captions.
        """
        if not isinstance(data, _HasCaptions):
            return []
        lost = list(self._cut(list(filter(None, data.captions()))))
        if not lost:
            return []
        said = counted(len(lost), "caption is", "captions are")
        rest = [f"  and {len(lost) - _LINES} more"] if len(lost) > _LINES else []
        return [
            f"{said} longer than `model.max_prompt_chunks` {self.max_prompt_chunks} takes "
            f"({75 * self.max_prompt_chunks} tokens) and cut:",
            *(
                f"  {shortened(caption)} loses {shortened(end, 200)}"
                for caption, end in lost[:_LINES]
            ),
            *rest,
        ]

    def build_on(self, model: StableDiffusion) -> None:
        """Forget what another model has encoded, and add what learns, see `TunedModelModule`."""
        self._prompts = PromptCache()
        super().build_on(model)

    def encode_once(self, data: object) -> None:
        """Encode what does not change, and let encoders leave the device that have no more to do.

        Args:
            data: What is trained on, set up.
        """
        drawn = bool(getattr(data, "draws_captions", False))
        self._captions_are_drawn = drawn and not self.encodes_prompts_every_step
        prompts = encode_before_training(self, self.encode, data)
        if prompts is not None:
            self._prompts = prompts

    def corrected_by_average(self) -> Sequence[Tensor]:
        """List what an average has moved too far."""
        return [one for each in self.learns for one in each.corrected_by_average(self.model)]

    def correct_average(self) -> None:
        """Correct the average that is in the module, as a step."""
        for each in self.learns:
            each.after_average(self.model)

    def tell_of_exchange(self) -> None:
        """Encode anew what other weights have encoded."""
        self._exchanges += 1

    def _conditioning(self, captions: Sequence[str]) -> Conditioning:
        """Encode captions, each once, or look them up where nothing of them learns."""
        if any(each.drops_inputs_of_prompts for each in self.learns):
            return self.encode(captions)  # each sample drops its own
        conditioning = self._prompts.batch(
            captions, self.encode, self._is_not_kept, self.device, self._encoder_state
        )
        if not torch.is_grad_enabled() or any(map(self.encodes_anew, captions)):
            return conditioning
        hidden_states = conditioning.encoder_hidden_states
        for each in self.learns:
            hidden_states = each.connected(self.model, hidden_states)
        return replace(conditioning, encoder_hidden_states=hidden_states)

    def _is_not_kept(self, caption: str) -> bool:
        return self._captions_are_drawn or self.encodes_anew(caption)

    def _encoder_state(self, caption: str) -> Hashable:
        """Tell the state in which a caption is encoded now; None if it is always the same."""
        versions = [each.version(caption, self.model) for each in self.learns]
        # averages are exchanged through `.data`, which torch does not count
        return (self._exchanges, *versions) if any(versions) else None

    def encode(self, captions: Sequence[str]) -> Conditioning:
        """Encode B captions as training does, with what has been learned."""
        return self.model.encode_prompts(captions, self.clip_skip)

    def _words(self) -> list[LearnedWords]:
        return [each for each in self.learns if isinstance(each, LearnedWords)]

    def _cut(self, captions: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Give each caption that is too long, with the words that it loses."""
        tokenizer = load_tokenizers(self.base)[0]
        learned = [word for each in self._words() for word in each.words]
        for word in learned:
            tokenizer.add_tokens(word.tokens)
        expanded = {word.token: word.expanded for word in learned}
        texts = [substitute(caption, expanded) for caption in captions]
        tokens = split_prompts(tokenizer, texts, self.max_prompt_chunks)
        for caption, split in zip(captions, tokens, strict=True):
            if split.lost:
                yield caption, split.lost
