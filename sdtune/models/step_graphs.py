"""Passes that a GPU repeats by itself: recorded as CUDA graphs, once for each shape of the inputs.

A step of a UNet is thousands of small operations, and Python tells the GPU of each: a fast GPU
waits for Python most of the time. A recorded pass is started by one call, and does the same.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._utils import _unflatten_dense_tensors

from sdtune.models.recorded_calls import Pass, RecordedCalls, autocast_that_keeps_nothing

__all__ = ["Recording", "StepGraphs", "gradient_places", "record_on_gpu"]


@dataclass
class Recording:
    """A forward pass and its backward pass, with the places where they read and write.

    Attributes:
        inputs: What the forward pass reads.
        outputs: What it writes.
        output_gradients: What the backward pass reads; None where an output has no gradient.
        gradients: What it writes, of the inputs and then of what learns; None where nothing comes.
        replay_forward: Repeats the forward pass.
        replay_backward: Repeats the backward pass.
    """

    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]
    output_gradients: Sequence[Tensor | None]
    gradients: Sequence[Tensor | None]
    replay_forward: Callable[[], object]
    replay_backward: Callable[[], object]


class StepGraphs(RecordedCalls[Recording]):
    """Records forward passes with their backward passes, see `RecordedCalls`.

    A pass is computed as always, too, before an earlier one went backwards. Gradients of what is
    repeated flow to its inputs and to `parameters`.
    """

    def clear(self) -> None:
        """Forget all recordings; their memory is free again."""
        super().clear()
        self._gradients = _Gradients(())
        self._open: weakref.ref[Any] | None = None

    def _may_record(self, inputs: Sequence[Tensor]) -> bool:
        if not torch.is_grad_enabled():
            return False
        if not any(each.requires_grad for each in (*inputs, *self.parameters)):
            return False
        is_open = None if self._open is None else self._open()
        return is_open is None or is_open.is_done

    def _make(self, function: Pass, inputs: Sequence[Tensor], pool: Any) -> Recording:
        if not self._recordings:
            self._gradients = _Gradients(self.parameters)
        record = self._record or record_on_gpu
        return record(function, inputs, self.parameters, self._gradients.places, pool)

    def _repeat(self, recording: Recording, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        replay: Any = _Replay.apply
        outputs: tuple[Tensor, ...] = replay(self, recording, *inputs, *self.parameters)
        return outputs


class _Replay(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, graphs: StepGraphs, recording: Recording, *inputs: Tensor
    ) -> tuple[Tensor, ...]:
        context.recording, context.gradients = recording, graphs._gradients
        context.is_done = False
        graphs._open = weakref.ref(context)
        for place, value in zip(recording.inputs, inputs, strict=False):  # what learns is in place
            place.detach().copy_(value)
        recording.replay_forward()
        outputs = tuple(each.clone() for each in recording.outputs)
        without = zip(outputs, recording.output_gradients, strict=True)
        context.mark_non_differentiable(*(each for each, place in without if place is None))
        return outputs

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        recording: Recording = context.recording
        if context.is_done:
            raise RuntimeError("A recorded pass goes backwards once: what it kept is used up.")
        context.is_done = True
        for place, value in zip(recording.output_gradients, gradients, strict=True):
            if place is not None:
                place.copy_(value)
        recording.replay_backward()
        # copies: the next pass writes to the same places, while gradients may be added up
        count = len(recording.inputs)
        of_inputs = (each if each is None else each.clone() for each in recording.gradients[:count])
        learned = zip(recording.gradients[count:], context.gradients.copies(), strict=True)
        return None, None, *of_inputs, *(place if place is None else own for place, own in learned)


class _Gradients:
    """Where recordings write the gradients of what learns: one piece, that one copy takes.

    Args:
        parameters: What learns.

    Attributes:
        places: A place for each.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.places = [torch.empty(0)] * len(parameters)
        self._pieces: list[tuple[Tensor, list[int]]] = []
        for dtype in dict.fromkeys(each.dtype for each in parameters):
            numbers = [n for n, each in enumerate(parameters) if each.dtype == dtype]
            some = [parameters[number] for number in numbers]
            piece = some[0].new_empty(sum(each.numel() for each in some))
            self._pieces.append((piece, numbers))
            for number, place in zip(numbers, _unflatten_dense_tensors(piece, some), strict=True):
                self.places[number] = place

    def copies(self) -> list[Tensor]:
        """Copy all of them."""
        copies = [*self.places]
        for piece, numbers in self._pieces:
            some = [self.places[number] for number in numbers]
            parts = _unflatten_dense_tensors(piece.clone(), some)
            for number, copy in zip(numbers, parts, strict=True):
                copies[number] = copy
        return copies


def record_on_gpu(
    function: Pass,
    inputs: Sequence[Tensor],
    parameters: Sequence[Tensor],
    gradients: Sequence[Tensor],
    pool: Any,
) -> Recording:
    """Record a pass and its backward pass; neither is computed.

    Args:
        function: The pass. What libraries prepare at its first call must be prepared.
        inputs: Tensors of the shapes and types that it will have.
        parameters: What learns in it.
        gradients: Where their gradients go, one for each.
        pool: Memory that recordings share, see `torch.cuda.graph_pool_handle`.

    Returns:
        The recording.

    Raises:
        RuntimeError: If the pass waits for the GPU or copies from the host, or memory is short.
    """
    places = [value.detach().clone().requires_grad_(value.requires_grad) for value in inputs]
    forward, backward = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
    # another thread that pins memory meanwhile is no fault
    options: dict[str, Any] = {"pool": pool, "capture_error_mode": "thread_local"}
    with autocast_that_keeps_nothing(), torch.cuda.graph(forward, **options):
        outputs = function(*places)
    differentiable = [each for each in outputs if each.requires_grad]
    output_gradients = [torch.zeros_like(each) if each.requires_grad else None for each in outputs]
    sources = (*places, *parameters)
    targets = gradient_places(places, parameters, gradients)
    with torch.autocast("cuda", enabled=False), torch.cuda.graph(backward, **options):
        found = iter(
            torch.autograd.grad(
                differentiable,
                [each for each in sources if each.requires_grad],
                [each for each in output_gradients if each is not None],
                allow_unused=True,
            )
        )
        for number, each in enumerate(sources):
            gradient = next(found) if each.requires_grad else None
            target = targets[number]
            if gradient is None:
                targets[number] = None
            elif target is not None:
                target.copy_(gradient)
        del gradient, found
    return Recording(
        inputs=places,
        outputs=[each.detach() for each in outputs],
        output_gradients=output_gradients,
        gradients=targets,
        replay_forward=forward.replay,
        replay_backward=backward.replay,
    )


def gradient_places(
    inputs: Sequence[Tensor], parameters: Sequence[Tensor], gradients: Sequence[Tensor]
) -> list[Tensor | None]:
    """List where a backward pass writes.

    Args:
        inputs: The places that the forward pass reads.
        parameters: What learns in it.
        gradients: A place for each of these.

    Returns:
        Of inputs and then of parameters; None where there is no gradient.
    """
    own = [torch.zeros_like(each) for each in inputs]
    pairs = zip((*inputs, *parameters), (*own, *gradients), strict=True)
    return [place if each.requires_grad else None for each, place in pairs]
