from types import SimpleNamespace

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from sdtune.bench.memory import SavedTensors, memory_by_part
from sdtune.functional.tensor_bytes import bytes_of


def _model():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    model.device = torch.device("cpu")
    model[1].requires_grad_(False)
    return model


def test_memory_by_part_is_the_sum_of_numel_times_itemsize():
    model = _model()
    learned = list(model[0].parameters())
    optimizer = torch.optim.AdamW(learned, lr=1e-3)
    model(torch.randn(2, 3)).sum().backward()
    optimizer.step()
    found = memory_by_part(SimpleNamespace(model=model), [optimizer])
    adapter = (3 * 4 + 4) * 4
    counted = 8  # the number of batches, of 64 bits
    assert found == {
        "weights": (4 + 4 + 4 + 4) * 4 + counted,
        "adapter": adapter,
        "gradients": adapter,
        "optimizer": 2 * adapter + 2 * 4,  # two moments, and a step for each tensor
    }


def test_what_is_elsewhere_or_shared_is_not_counted_twice():
    weight = nn.Parameter(torch.zeros(5, dtype=torch.float16))
    assert bytes_of([weight, weight]) == 10
    model = _model()
    model.device = torch.device("meta")
    assert memory_by_part(SimpleNamespace(model=model), [])["weights"] == 0


def test_saved_tensors_are_counted_by_storage_and_let_go():
    weight, inputs = torch.randn(4, 4, requires_grad=True), torch.randn(8, 4)
    saved = SavedTensors(apart=[weight])
    with saved.hooks():
        hidden = inputs @ weight  # keeps the inputs
        result = hidden.exp()  # keeps its result
    assert saved.peak == 2 * 8 * 4 * 4
    result.sum().backward()
    del hidden, result
    assert saved._bytes == 0


def test_recomputed_activations_take_less():
    layers = nn.Sequential(*(nn.Sequential(nn.Linear(16, 16), nn.Tanh()) for _ in range(6)))

    def peak(recompute: bool) -> int:
        saved = SavedTensors(layers.parameters())
        value = torch.randn(32, 16, requires_grad=True)
        with saved.hooks():
            for layer in layers:
                value = checkpoint(layer, value, use_reentrant=False) if recompute else layer(value)
            value.sum().backward()
        return saved.peak

    assert peak(recompute=True) < peak(recompute=False)
