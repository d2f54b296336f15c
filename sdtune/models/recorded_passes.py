"""The two passes of a training step that a GPU may repeat by itself: text encoders and UNet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from sdtune.functional import copied_to
from sdtune.models.conditioning import Conditioning
from sdtune.models.families import Family
from sdtune.models.forward_graphs import ForwardGraphs
from sdtune.models.recorded_calls import RecordedCalls
from sdtune.models.step_graphs import StepGraphs

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel

__all__ = ["RecordedPasses"]


class RecordedPasses:
    """Predicts and encodes as a family does, and records both passes where that is switched on.

    Each has recordings of its own, for between a pass of one and its way back the other passes.
    What the untuned base predicts as a part of a step has its own, too.
    """

    def __init__(self) -> None:
        self.of_unet, self.of_text = StepGraphs(), StepGraphs()
        self.of_base_unet, self.of_base_text = ForwardGraphs(), ForwardGraphs()
        self._is_base = False
        self._added_names: tuple[str, ...] = ()  # of what text encoders give beside hidden states

    def start(self, unet: nn.Module, text_encoders: nn.Module) -> None:
        """Record from now on; what learns must be in place, and stay there until `stop`.

        Args:
            unet: The UNet.
            text_encoders: All of them.
        """
        of_part: list[tuple[RecordedCalls[Any], nn.Module]] = [
            (self.of_unet, unet),
            (self.of_base_unet, unet),
            (self.of_text, text_encoders),
            (self.of_base_text, text_encoders),
        ]
        for graphs, part in of_part:
            graphs.clear()
            every = list(part.parameters())
            graphs.parameters = [each for each in every if each.requires_grad]
            graphs.frozen = [each for each in every if not each.requires_grad]
            graphs.frozen += list(part.buffers())
            graphs.is_on = True

    def stop(self) -> None:
        """Record no more, and free the memory of what was recorded."""
        every: list[RecordedCalls[Any]] = [self.of_unet, self.of_text]
        for graphs in (*every, self.of_base_unet, self.of_base_text):
            graphs.clear()
            graphs.is_on = False

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Compute every pass for a while, as if none was recorded."""
        before = self.of_unet.is_on, self.of_text.is_on
        self.of_unet.is_on = self.of_text.is_on = False
        try:
            yield
        finally:
            self.of_unet.is_on, self.of_text.is_on = before

    @contextmanager
    def of_base(self) -> Iterator[None]:
        """Predict and encode by the untuned base, with recordings that are of it alone.

        What learns must be switched off in the same way each time.
        """
        self._is_base = True
        try:
            yield
        finally:
            self._is_base = False

    def predict(
        self,
        family: Family,
        unet: UNet2DConditionModel,
        noisy_latents: Tensor,
        timesteps: Tensor,
        conditioning: Conditioning,
    ) -> Tensor:
        """Predict as `Family.predict` does."""
        names = tuple(conditioning.added_cond_kwargs)

        def predict(latents: Tensor, steps: Tensor, prompts: Tensor, *added: Tensor) -> Any:
            told = Conditioning(prompts, dict(zip(names, added, strict=True)))
            return (family.predict(unet, latents, steps, told),)

        inputs = (noisy_latents, timesteps, *_tensors(conditioning))
        graphs: RecordedCalls[Any] = self.of_base_unet if self._is_base else self.of_unet
        [prediction] = graphs(predict, inputs, names)
        return prediction

    def encode(
        self,
        family: Family,
        text_encoders: Sequence[CLIPTextModel],
        token_ids: Sequence[Tensor],
        clip_skip: int,
    ) -> Conditioning:
        """Encode as `Family.encode` does; the ids may be on the CPU."""

        def encode(*ids: Tensor) -> tuple[Tensor, ...]:
            encoded = family.encode(text_encoders, ids, clip_skip)
            self._added_names = tuple(encoded.added_cond_kwargs)
            return _tensors(encoded)

        pairs = zip(token_ids, text_encoders, strict=True)
        ids = [copied_to(each, encoder.device) for each, encoder in pairs]
        graphs: RecordedCalls[Any] = self.of_base_text if self._is_base else self.of_text
        hidden_states, *added = graphs(encode, ids, clip_skip)
        return Conditioning(hidden_states, dict(zip(self._added_names, added, strict=True)))


def _tensors(conditioning: Conditioning) -> tuple[Tensor, ...]:
    return (conditioning.encoder_hidden_states, *conditioning.added_cond_kwargs.values())
