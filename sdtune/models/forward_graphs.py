"""Passes without gradients that a GPU repeats by itself, beside those of a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sdtune.models.recorded_calls import Pass, RecordedCalls, autocast_that_keeps_nothing

__all__ = ["ForwardGraphs", "ForwardRecording", "record_forward_on_gpu"]


@dataclass
class ForwardRecording:
    """A forward pass, with the places where it reads and writes.

    Attributes:
        inputs: What it reads.
        outputs: What it writes.
        replay: Repeats it.
    """

    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]
    replay: Callable[[], object]


class ForwardGraphs(RecordedCalls[ForwardRecording]):
    """Records passes of which no gradients are wanted, see `RecordedCalls`."""

    def _may_record(self, inputs: Sequence[Tensor]) -> bool:
        return not torch.is_grad_enabled()

    def _make(self, function: Pass, inputs: Sequence[Tensor], pool: Any) -> ForwardRecording:
        return (self._record or record_forward_on_gpu)(function, inputs, pool)

    def _repeat(self, recording: ForwardRecording, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        for place, value in zip(recording.inputs, inputs, strict=True):
            place.copy_(value)
        recording.replay()
        return tuple(each.clone() for each in recording.outputs)


def record_forward_on_gpu(function: Pass, inputs: Sequence[Tensor], pool: Any) -> ForwardRecording:
    """Record a pass, which is not computed.

    Args:
        function: The pass. What libraries prepare at its first call must be prepared.
        inputs: Tensors of the shapes and types that it will have.
        pool: Memory that recordings share, see `torch.cuda.graph_pool_handle`.

    Returns:
        The recording.

    Raises:
        RuntimeError: If the pass waits for the GPU or copies from the host, or memory is short.
    """
    places = [each.detach().clone() for each in inputs]
    graph = torch.cuda.CUDAGraph()
    # another thread that pins memory meanwhile is no fault
    options: dict[str, Any] = {"pool": pool, "capture_error_mode": "thread_local"}
    with autocast_that_keeps_nothing(), torch.cuda.graph(graph, **options):
        outputs = function(*places)
    return ForwardRecording(places, outputs, graph.replay)
