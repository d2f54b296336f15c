from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sdtune.models.forward_graphs import ForwardGraphs, record_forward_on_gpu
from tests.pass_recorder import ForwardRecorder


@pytest.fixture
def layer() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 2)


def _graphs(layer: nn.Linear, record: Any) -> ForwardGraphs:
    graphs = ForwardGraphs(record)
    graphs.frozen = list(layer.parameters())
    graphs.is_on = True
    return graphs


def _rows(count: int, seed: int) -> Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))


def test_a_pass_is_repeated_with_other_values_and_keeps_what_it_gave(layer: nn.Linear) -> None:
    recorder = ForwardRecorder()
    graphs = _graphs(layer, recorder)
    with torch.no_grad():
        found = [graphs(lambda value: (layer(value),), [_rows(4, n)])[0] for n in range(4)]
        exact = [layer(_rows(4, n)) for n in range(4)]
    torch.testing.assert_close(found, exact, rtol=0, atol=0)
    assert (len(recorder.recordings), recorder.replays) == (1, 3)


def test_with_gradients_nothing_is_recorded(layer: nn.Linear) -> None:
    recorder = ForwardRecorder()
    graphs = _graphs(layer, recorder)
    for seed in range(3):
        [output] = graphs(lambda value: (layer(value),), [_rows(4, seed)])
        assert output.requires_grad
    assert recorder.recordings == []


def test_weights_that_moved_are_recorded_anew(layer: nn.Linear) -> None:
    recorder = ForwardRecorder()
    graphs = _graphs(layer, recorder)
    with torch.no_grad():
        for _ in range(2):
            graphs(lambda value: (layer(value),), [_rows(4, 0)])
        layer.weight.data = layer.weight.data + 1.0
        for _ in range(2):
            [found] = graphs(lambda value: (layer(value),), [_rows(4, 0)])
        torch.testing.assert_close(found, layer(_rows(4, 0)))
    assert len(recorder.recordings) == 2


def test_one_that_fails_is_told_and_computed(
    layer: nn.Linear, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: Any) -> Any:
        raise RuntimeError("operation not permitted\nwhen stream is capturing")

    graphs = _graphs(layer, fails)
    with torch.no_grad():
        for seed in range(3):
            [found] = graphs(lambda value: (layer(value),), [_rows(4, seed)])
            torch.testing.assert_close(found, layer(_rows(4, seed)))
    assert [each.getMessage() for each in caplog.records] == [
        "The step could not be recorded as a CUDA graph and is slower: operation not permitted"
    ]
    assert not graphs.is_on


def test_a_copy_has_no_recordings(layer: nn.Linear) -> None:
    copied = copy.deepcopy(_graphs(layer, ForwardRecorder()))
    assert isinstance(copied, ForwardGraphs)
    assert not copied.is_on


class _Graph:
    """Stands in for `torch.cuda.CUDAGraph`."""

    def replay(self) -> None:
        raise AssertionError("nothing is repeated here")


def test_what_a_gpu_records_reads_and_writes_places_of_its_own(
    layer: nn.Linear, monkeypatch: pytest.MonkeyPatch
) -> None:
    captured: list[Any] = []

    class Capture:
        def __init__(self, graph: Any, **options: Any) -> None:
            captured.append((graph, options))

        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(torch.cuda, "CUDAGraph", _Graph)
    monkeypatch.setattr(torch.cuda, "graph", Capture)
    value = _rows(4, 0)
    with torch.no_grad():
        recording = record_forward_on_gpu(lambda given: (layer(given),), [value], "pool")
        torch.testing.assert_close(recording.outputs[0], layer(value))
    assert recording.inputs[0].data_ptr() != value.data_ptr()
    [(graph, options)] = captured
    assert recording.replay == graph.replay
    assert options == {"pool": "pool", "capture_error_mode": "thread_local"}
