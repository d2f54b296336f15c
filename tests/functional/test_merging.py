from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sdtune.functional import constrained_merge


def _problem(rows: int = 12, concepts: int = 3, seed: int = 0) -> list[Tensor]:
    """A matrix from 6 inputs to 4 outputs, inputs to keep, inputs to set, and their outputs."""
    generator = torch.Generator().manual_seed(seed)
    shapes = ((4, 6), (rows, 6), (concepts, 6), (concepts, 4))
    return [torch.randn(*s, generator=generator, dtype=torch.float64) for s in shapes]


@pytest.mark.parametrize("ridge", [0.0, 1e-3])
def test_the_concepts_get_their_outputs(ridge: float) -> None:
    weight, kept, inputs, outputs = _problem()
    merged = constrained_merge(weight, kept, inputs, outputs, ridge)
    torch.testing.assert_close(inputs @ merged.T, outputs, rtol=0, atol=1e-12)


def test_nothing_changes_where_the_constraints_are_met_already() -> None:
    weight, kept, inputs, _ = _problem()
    merged = constrained_merge(weight, kept, inputs, inputs @ weight.T)
    torch.testing.assert_close(merged, weight, rtol=0, atol=1e-12)


@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_it_is_the_minimum_that_a_numerical_solver_finds(ridge: float) -> None:
    weight, kept, inputs, outputs = _problem()
    merged = constrained_merge(weight, kept, inputs, outputs, ridge)
    scale = ridge * (kept.T @ kept).diagonal().mean()
    # W = W_p + F N^T with N spanning what the constraints leave free: an unconstrained problem
    free = torch.linalg.svd(inputs, full_matrices=True).Vh[len(inputs) :]  # (free, in)
    particular = (torch.linalg.pinv(inputs) @ outputs).T
    coordinates = torch.zeros(len(weight), len(free), dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS(
        [coordinates], max_iter=200, line_search_fn="strong_wolfe", tolerance_grad=1e-12
    )

    def loss() -> Tensor:
        solver.zero_grad()
        change = particular + coordinates @ free - weight
        value = (change @ kept.T).square().sum() + scale * change.square().sum()
        value.backward()
        return value

    solver.step(loss)  # type: ignore[no-untyped-call]
    found = (particular + coordinates @ free).detach()
    torch.testing.assert_close(merged, found, rtol=0, atol=1e-6)


def test_a_row_said_twice_is_no_contradiction() -> None:
    weight, kept, inputs, outputs = _problem()
    once = constrained_merge(weight, kept, inputs, outputs)
    doubled = [each.repeat(2, 1) for each in (inputs, outputs)]
    torch.testing.assert_close(constrained_merge(weight, kept, *doubled), once)


def test_the_result_has_the_type_of_the_weight() -> None:
    problem = [each.float() for each in _problem()]
    assert constrained_merge(*problem).dtype == torch.float32


def test_too_few_rows_to_keep_need_a_ridge() -> None:
    weight, kept, inputs, outputs = _problem(rows=2)
    with pytest.raises(ValueError, match="`regularisation` to span all 6 inputs, but its 2 rows"):
        constrained_merge(weight, torch.zeros_like(kept), inputs, outputs)
    merged = constrained_merge(weight, kept, inputs, outputs, ridge=1e-6)
    torch.testing.assert_close(inputs @ merged.T, outputs, rtol=0, atol=1e-8)


def test_bad_arguments_are_refused() -> None:
    weight, kept, inputs, outputs = _problem()
    with pytest.raises(ValueError, match=r"`outputs` to be of shape \(3, 4\)"):
        constrained_merge(weight, kept, inputs, outputs[:, :2])
    with pytest.raises(ValueError, match="`ridge` to be 0 or more, but got -1"):
        constrained_merge(weight, kept, inputs, outputs, -1.0)
