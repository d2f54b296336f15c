"""Adafactor does what transformers' does, in few operations; its own rates are shown."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torch.nn import Parameter
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import Adafactor

from sdtune.techniques.optimization import build_optimizer
from sdtune.techniques.optimization.adafactor import GroupedAdafactor
from tests.techniques.optimization.tiny_module import TinyModule, fit, rates_of

_GIVEN = {"lr": 1e-3, "relative_step": False, "scale_parameter": False, "weight_decay": 0.01}
_SHAPES = [(4, 32), (32, 4), (4, 16, 1, 1), (16, 4, 1, 1), (8, 4, 3, 3), (7,), ()]


class _Operations(TorchDispatchMode):
    """Counts what is asked of a device: a kernel, or a view, each."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.waits = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.count += 1
        self.waits += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


def _tensors(shapes: list[tuple[int, ...]], dtype: torch.dtype = torch.float32) -> list[Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [
        Parameter(torch.randn(shape, generator=generator).to(dtype))
        for shape in shapes
        for _ in range(3)
    ]


def _give_gradients(parameters: list[Parameter], step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for each in parameters:
        each.grad = torch.randn(each.shape, generator=generator).to(each.dtype)


def _distance(ours: list[Parameter], theirs: list[Parameter]) -> float:
    """Largest difference of a tensor, as a share of its largest value."""
    pairs = zip(ours, theirs, strict=True)
    return max(float((a - b).detach().abs().max() / b.abs().max()) for a, b in pairs)


@pytest.mark.parametrize(
    ("options", "limit"),
    [
        (_GIVEN, 0.0),
        ({**_GIVEN, "beta1": 0.9}, 0.0),
        ({"lr": None, "weight_decay": 0.1}, 2e-7),
        ({"lr": None, "warmup_init": True}, 2e-7),
    ],
)
def test_it_does_what_transformers_does(options: dict[str, Any], limit: float) -> None:
    ours, theirs = _tensors(_SHAPES), _tensors(_SHAPES)
    grouped, single = GroupedAdafactor(ours, **options), Adafactor(theirs, **options)
    for step in range(6):
        _give_gradients(ours, step)
        _give_gradients(theirs, step)
        grouped.step()
        single.step()
    assert _distance(ours, theirs) <= limit
    for mine, other in zip(
        grouped.state_dict()["state"].values(), single.state_dict()["state"].values(), strict=True
    ):
        assert mine.keys() == other.keys()


def test_large_tensors_are_updated_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []
    for largest in (2**24, 200, 1):
        monkeypatch.setattr("sdtune.techniques.optimization.adafactor._LARGEST_STACK", largest)
        parameters = _tensors(_SHAPES)
        optimizer = GroupedAdafactor(parameters, **_GIVEN)
        _give_gradients(parameters, 0)
        optimizer.step()
        runs.append(parameters)
    assert all(map(torch.equal, runs[0], runs[1]))
    assert all(map(torch.equal, runs[0], runs[2]))


def test_a_state_of_transformers_goes_on() -> None:
    ours, theirs = _tensors(_SHAPES), _tensors(_SHAPES)
    single = Adafactor(theirs, **_GIVEN)
    for step in range(3):
        _give_gradients(theirs, step)
        single.step()
    grouped = GroupedAdafactor(ours, **_GIVEN)
    grouped.load_state_dict(copy.deepcopy(single.state_dict()))
    for mine, other in zip(ours, theirs, strict=True):
        mine.data.copy_(other.data)
    _give_gradients(ours, 3)
    _give_gradients(theirs, 3)
    grouped.step()
    single.step()
    assert _distance(ours, theirs) == 0


def test_what_has_no_gradient_stays_and_the_others_have_steps_of_their_own() -> None:
    ours, theirs = _tensors(_SHAPES), _tensors(_SHAPES)
    grouped, single = GroupedAdafactor(ours, **_GIVEN), Adafactor(theirs, **_GIVEN)
    for step in range(4):
        for parameters in (ours, theirs):
            _give_gradients(parameters, step)
            parameters[step].grad = None
        grouped.step()
        single.step()
    assert _distance(ours, theirs) == 0


def test_half_precision_learns_in_float32() -> None:
    ours, theirs = (_tensors(_SHAPES, torch.bfloat16) for _ in range(2))
    for optimizer in (GroupedAdafactor(ours, **_GIVEN), Adafactor(theirs, **_GIVEN)):
        _give_gradients(ours, 0)
        _give_gradients(theirs, 0)
        optimizer.step()
    assert _distance(ours, theirs) == 0


def test_a_lora_takes_few_operations_and_waits_for_none() -> None:
    widths = [32, 64, 128]
    shapes = [shape for width in widths for shape in [(4, width), (width, 4)]]
    layers: list[Tensor] = [tensor for _ in range(16) for tensor in _tensors(shapes)]
    counts = {}
    for kind in (GroupedAdafactor, Adafactor):
        optimizer = kind(layers, **_GIVEN)
        for step in range(2):  # the first one makes the state
            _give_gradients(layers, step)
            with _Operations() as operations:
                optimizer.step()
        counts[kind] = operations.count
        assert operations.waits == 0
    assert counts[Adafactor] > 20 * len(layers)
    assert counts[GroupedAdafactor] < counts[Adafactor] / 4


def test_the_rate_shown_is_the_one_that_is_used() -> None:
    generator = torch.Generator().manual_seed(0)
    parameter = Parameter(torch.randn(8, 8, generator=generator))
    groups = [{"params": [parameter], "lr": 123.0, "name": "a"}]
    optimizer = build_optimizer("adafactor_relative_step", groups, 0.0)
    for step in range(1, 4):
        shown = optimizer.param_groups[0]["lr"]
        size = float(parameter.detach().square().mean().sqrt())
        assert shown == pytest.approx(size * min(1e-2, step**-0.5))
        parameter.grad = torch.randn(8, 8, generator=generator)
        optimizer.step()
        used = optimizer._get_lr(optimizer.param_groups[0], optimizer.state[parameter])
        assert shown == pytest.approx(float(used))


def test_the_rates_given_are_ignored() -> None:
    runs = [TinyModule("adafactor_relative_step", rate) for rate in (1e-4, 1e-2)]
    for module in runs:
        fit(module, max_steps=3)
    assert runs[0].rates == runs[1].rates
    assert runs[0].first.weight.equal(runs[1].first.weight)


def test_the_curve_shows_the_rate(tmp_path: Path) -> None:
    module = TinyModule("adafactor_relative_step", 1e-4, 1e-4)
    logger = CSVLogger(tmp_path)
    fit(
        module,
        max_steps=3,
        logger=logger,
        callbacks=LearningRateMonitor("step"),
        log_every_n_steps=1,
    )
    rows = (Path(logger.log_dir) / "metrics.csv").read_text().splitlines()
    column = rows[0].split(",").index("lr-RelativeStepAdafactor/first")
    shown = [float(row.split(",")[column]) for row in rows[1:] if row.split(",")[column]]
    assert shown == pytest.approx([float(rate) for rate in rates_of(module)])
