"""Recorded passes on a CPU, to try what surrounds those of a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sdtune.models.forward_graphs import ForwardRecording
from sdtune.models.recorded_calls import Pass
from sdtune.models.step_graphs import Recording, gradient_places

__all__ = ["ForwardRecorder", "PassRecorder"]


class ForwardRecorder:
    """The same for passes without gradients."""

    def __init__(self) -> None:
        self.replays = 0
        self.recordings: list[ForwardRecording] = []

    def __call__(self, function: Pass, inputs: Sequence[Tensor], pool: Any) -> ForwardRecording:
        places = [each.detach().clone() for each in inputs]
        outputs = [each.clone() for each in function(*places)]

        def replay() -> None:
            self.replays += 1
            with torch.no_grad():
                for place, value in zip(outputs, function(*places), strict=True):
                    place.copy_(value)

        self.recordings.append(ForwardRecording(places, outputs, replay))
        return self.recordings[-1]


class PassRecorder:
    """Does on a CPU what a GPU's recording does: all passes read and write the same places."""

    def __init__(self) -> None:
        self.replays = 0
        self.recordings: list[Recording] = []

    def __call__(
        self,
        function: Pass,
        inputs: Sequence[Tensor],
        parameters: Sequence[Tensor],
        gradients: Sequence[Tensor],
        pool: Any,
    ) -> Recording:
        places = [each.detach().clone().requires_grad_(each.requires_grad) for each in inputs]
        outputs = function(*places)
        kept: list[tuple[Tensor, ...]] = []
        into = [torch.zeros_like(each) if each.requires_grad else None for each in outputs]
        sources = [*places, *parameters]
        targets = gradient_places(places, parameters, gradients)
        recording = Recording(
            places,
            [each.detach() for each in outputs],
            into,
            targets,
            replay_forward=lambda: self._forward(function, recording, kept),
            replay_backward=lambda: self._backward(recording, kept, sources),
        )
        self.recordings.append(recording)
        return recording

    def _forward(self, function: Pass, recording: Recording, kept: list[Any]) -> None:
        self.replays += 1
        with torch.enable_grad():
            kept[:] = [function(*recording.inputs)]
        for place, value in zip(recording.outputs, kept[0], strict=True):
            place.copy_(value.detach())

    def _backward(self, recording: Recording, kept: list[Any], sources: list[Tensor]) -> None:
        pairs = [
            (output, given)
            for output, given in zip(kept.pop(), recording.output_gradients, strict=True)
            if given is not None
        ]
        wanted = [each for each in sources if each.requires_grad]
        found = iter(
            torch.autograd.grad(
                [a for a, _ in pairs], wanted, [b for _, b in pairs], allow_unused=True
            )
        )
        for each, target in zip(sources, recording.gradients, strict=True):
            value = next(found) if each.requires_grad else None
            if target is not None and value is not None:
                target.copy_(value)
