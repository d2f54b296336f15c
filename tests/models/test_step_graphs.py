import copy
import pickle
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from sdtune.models.step_graphs import Recording, StepGraphs, record_on_gpu
from tests.pass_recorder import PassRecorder


class _Network:
    """One layer, its graphs, and what it gives for a number of rows."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.layer = nn.Linear(3, 2)
        self.recorder = PassRecorder()
        self.graphs = StepGraphs(self.recorder)
        self.graphs.parameters = list(self.layer.parameters())
        self.graphs.is_on = True
        self.calls = 0

    def __call__(self, value: Tensor, kind: Any = ()) -> Tensor:
        [output] = self.graphs(self.compute, [value], kind)
        return output

    def compute(self, value: Tensor) -> tuple[Tensor]:
        self.calls += 1
        return (torch.tanh(self.layer(value)),)

    def gradients(self, value: Tensor) -> list[Tensor]:
        self.layer.zero_grad()
        self(value).square().sum().backward()
        return [each.grad.clone() for each in self.layer.parameters() if each.grad is not None]

    def exact(self, value: Tensor) -> list[Tensor]:
        [output] = self.compute(value)
        return list(torch.autograd.grad(output.square().sum(), list(self.layer.parameters())))


@pytest.fixture
def network() -> _Network:
    return _Network()


def _rows(count: int, seed: int = 1) -> Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))


def test_a_pass_is_repeated_from_the_second_time_on(network: _Network) -> None:
    for seed in range(4):
        torch.testing.assert_close(
            network.gradients(_rows(5, seed)), network.exact(_rows(5, seed)), rtol=0, atol=0
        )
    assert len(network.recorder.recordings) == 1
    assert network.recorder.replays == 3


def test_each_shape_and_kind_has_a_recording(network: _Network) -> None:
    for count, kind in [(5, 1), (4, 1), (5, 2)] * 3:
        network(_rows(count), kind).sum().backward()  # type: ignore[no-untyped-call]
    assert len(network.recorder.recordings) == 3
    assert network.recorder.replays == 6


def test_gradients_are_added_up_over_passes(network: _Network) -> None:
    network.gradients(_rows(5))
    network.layer.zero_grad()
    for seed in (2, 3, 4):
        network(_rows(5, seed)).square().sum().backward()  # type: ignore[no-untyped-call]
    added = [each.grad for each in network.layer.parameters()]
    exact = [
        sum(each) for each in zip(*(network.exact(_rows(5, n)) for n in (2, 3, 4)), strict=True)
    ]
    torch.testing.assert_close(added, exact)


def test_gradients_flow_to_inputs(network: _Network) -> None:
    for seed in range(3):
        value = _rows(5, seed).requires_grad_()
        network(value).square().sum().backward()  # type: ignore[no-untyped-call]
        [output] = network.compute(again := value.detach().requires_grad_())
        [wanted] = torch.autograd.grad(output.square().sum(), again)
        torch.testing.assert_close(value.grad, wanted, rtol=0, atol=0)
    assert network.recorder.replays == 2


def test_what_a_pass_gave_stays_when_the_next_is_repeated(network: _Network) -> None:
    network.gradients(_rows(5))
    first = network(_rows(5, 2))
    first.sum().backward()  # type: ignore[no-untyped-call]
    before = first.detach().clone()
    network(_rows(5, 3)).sum().backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(first, before, rtol=0, atol=0)
    assert network.recorder.replays == 2


def test_a_second_pass_before_the_first_went_backwards_is_computed(network: _Network) -> None:
    network.gradients(_rows(5))
    first, second = network(_rows(5, 2)), network(_rows(5, 3))
    network.layer.zero_grad()
    (first.square().sum() + second.square().sum()).backward()
    wanted = [
        a + b for a, b in zip(network.exact(_rows(5, 2)), network.exact(_rows(5, 3)), strict=True)
    ]
    torch.testing.assert_close([each.grad for each in network.layer.parameters()], wanted)
    assert network.recorder.replays == 1


def test_a_pass_that_never_goes_backwards_does_not_end_the_repeating(network: _Network) -> None:
    network.gradients(_rows(5))
    network(_rows(5, 2))
    network.gradients(_rows(5, 3))
    assert network.recorder.replays == 2


def test_a_pass_goes_backwards_once(network: _Network) -> None:
    network.gradients(_rows(5))
    loss = network(_rows(5, 2)).sum()
    loss.backward(retain_graph=True)  # type: ignore[no-untyped-call]
    with pytest.raises(RuntimeError, match="goes backwards once"):
        loss.backward()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("moved", ["learned", "frozen"])
def test_weights_that_moved_are_recorded_anew(network: _Network, moved: str) -> None:
    if moved == "frozen":
        network.graphs.frozen = network.graphs.parameters
    for _ in range(2):
        network.gradients(_rows(5))
    network.layer.weight.data = network.layer.weight.data.clone() + 1
    for seed in (2, 3):
        torch.testing.assert_close(network.gradients(_rows(5, seed)), network.exact(_rows(5, seed)))
    assert len(network.recorder.recordings) == 2


def test_nothing_is_repeated_where_somebody_counts_or_needs_no_gradient(network: _Network) -> None:
    network.gradients(_rows(5))
    with FlopCounterMode(display=False) as counter:
        network.gradients(_rows(5))
    assert counter.get_total_flops() > 0
    with torch.autograd.graph.saved_tensors_hooks(lambda each: each, lambda each: each):
        network.gradients(_rows(5))
    with torch.no_grad():
        network(_rows(5))
    network.graphs.is_on = False
    network.gradients(_rows(5))
    assert network.recorder.replays == 0


def test_what_cannot_be_recorded_is_computed_and_told(caplog: pytest.LogCaptureFixture) -> None:
    network = _Network()

    def fails(*_: Any) -> Recording:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    network.graphs = StepGraphs(fails)
    network.graphs.parameters, network.graphs.is_on = list(network.layer.parameters()), True
    for _ in range(3):
        torch.testing.assert_close(network.gradients(_rows(5)), network.exact(_rows(5)))
    assert caplog.text.count("operation not permitted") == 1
    assert "more" not in caplog.text


def test_a_copy_has_no_recordings(network: _Network) -> None:
    for _ in range(2):
        network.gradients(_rows(5))
    assert not copy.deepcopy(network.graphs).is_on
    network.graphs._record = None
    assert not pickle.loads(pickle.dumps(network.graphs)).is_on


def test_what_was_recorded_is_forgotten(network: _Network) -> None:
    for _ in range(2):
        network.gradients(_rows(5))
    network.graphs.clear()
    network.gradients(_rows(5))
    assert network.recorder.replays == 1
    assert not network.graphs._recordings


def test_a_gpu_records_a_pass_and_where_its_gradients_go(monkeypatch: pytest.MonkeyPatch) -> None:
    class Graph:  # what is recorded is computed at once here
        def replay(self) -> None:
            pass

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", lambda *_, **__: nullcontext())
    network, value = _Network(), _rows(5)
    network.layer.bias.requires_grad_(False)
    parameters = list(network.layer.parameters())
    places = [torch.empty_like(each) for each in parameters]
    recording = record_on_gpu(network.compute, [value], parameters, places, None)
    torch.testing.assert_close(recording.outputs[0], network.compute(value)[0].detach())
    # what comes in is zeros until the first replay copies a gradient there
    assert [each is None for each in recording.gradients] == [True, False, True]
    assert recording.gradients[1] is places[0]
    assert not places[0].any()
