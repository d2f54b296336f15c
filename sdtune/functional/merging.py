"""Putting separately learned concepts into one linear map, in closed form."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["constrained_merge"]


def constrained_merge(
    weight: Tensor,
    regularisation: Tensor,
    inputs: Tensor,
    outputs: Tensor,
    ridge: float = 0.0,
) -> Tensor:
    """Change a matrix so that some inputs have given outputs, and others nearly their own.

    Solves min over W of ||W C_reg^T - W_0 C_reg^T||_F^2 + r ||W - W_0||_F^2 subject to W C^T = V^T
    by Lagrange multipliers (Kumari et al. 2023, https://arxiv.org/abs/2212.04488, section 3.3 and
    its appendix): with A = C_reg^T C_reg + r I and D = C A^-1,

        W = W_0 + (V^T - W_0 C^T) (D C^T)^-1 D.

    Args:
        weight: (out, in) W_0, the matrix of the base.
        regularisation: (R, in) C_reg, inputs whose outputs should stay.
        inputs: (S, in) C, inputs of the concepts. Rows that depend on each other must not
            contradict each other; their least-squares solution is taken if they do.
        outputs: (S, out) V, what they shall give.
        ridge: 0 or more, r as a share of the mean square of an input, summed over the R rows.
            Above 0 it decides what the R rows leave open, and keeps W near W_0 there; with 0 they
            have to span all inputs.

    Returns:
        (out, in) W, of the type of `weight`. Computed in float64.

    Raises:
        ValueError: If the shapes do not fit, `ridge` is negative, or it is 0 where the
            regularisation does not span the inputs.
    """
    _check_shapes(weight, regularisation, inputs, outputs)
    if ridge < 0:
        raise ValueError(f"Expected `ridge` to be 0 or more, but got {ridge}.")
    base, kept, concepts = weight.double(), regularisation.double(), inputs.double()
    gram = kept.T @ kept  # (in, in)
    gram += ridge * gram.diagonal().mean() * torch.eye(len(gram)).to(gram)
    factor, failed = torch.linalg.cholesky_ex(gram)
    if failed:
        raise ValueError(
            f"Expected `regularisation` to span all {gram.shape[0]} inputs, but its "
            f"{len(kept)} rows do not: give more, or a `ridge` above 0."
        )
    directions = torch.cholesky_solve(concepts.T, factor).T  # (S, in)
    missing = outputs.double().T - base @ concepts.T  # (out, S)
    multipliers = missing @ torch.linalg.pinv(directions @ concepts.T, hermitian=True)
    merged: Tensor = base + multipliers @ directions
    return merged.to(weight.dtype)


def _check_shapes(weight: Tensor, regularisation: Tensor, inputs: Tensor, outputs: Tensor) -> None:
    width_out, width_in = weight.shape
    expected = {
        "regularisation": (regularisation, (len(regularisation), width_in)),
        "inputs": (inputs, (len(inputs), width_in)),
        "outputs": (outputs, (len(inputs), width_out)),
    }
    for name, (tensor, shape) in expected.items():
        if tuple(tensor.shape) != shape:
            raise ValueError(
                f"Expected `{name}` to be of shape {shape} for a matrix of "
                f"{(width_out, width_in)}, but got {tuple(tensor.shape)}."
            )
