"""Products of two narrow matrices: their singular values, and the nearest narrower ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["SingularValues", "singular_values"]


@dataclass(frozen=True)
class SingularValues:
    """A matrix as U diag(S) V.

    Attributes:
        left: (out, k) U, orthonormal columns.
        values: (k,) S, not negative, the largest first.
        right: (k, in) V, orthonormal rows.
    """

    left: Tensor
    values: Tensor
    right: Tensor

    def truncated(self, rank: int) -> tuple[Tensor, Tensor]:
        """Give the nearest product of two matrices of a rank (Eckart and Young 1936).

        Args:
            rank: Inner dimension, 1 or more. More than k gives k.

        Returns:
            Down (rank, in) and up (out, rank), of equal norms.
        """
        root = self.values[:rank].sqrt()
        return root[:, None] * self.right[:rank], self.left[:, :rank] * root

    def square(self, rank: int | None = None) -> float:
        """Sum the squares of the largest values: that of all is the squared Frobenius norm.

        Args:
            rank: How many; None for all.
        """
        return float(self.values[:rank].double().square().sum())

    def rank_of(self, share: float) -> int:
        """Find the least rank that keeps a share of the sum of squares.

        Args:
            share: In (0, 1].

        Returns:
            1 or more.
        """
        squares = self.values.double().square()
        kept = squares.cumsum(0) / squares.sum().clamp_min(torch.finfo(torch.float64).tiny)
        return min(len(kept), int((kept < share - 1e-12).sum()) + 1)


def singular_values(first: Tensor, second: Tensor | None = None) -> SingularValues:
    """Decompose a matrix, or a product of two without making it.

    A product is decomposed by the QR decompositions of both: up = Q_1 R_1, down^T = Q_2 R_2, and
    R_1 R_2^T is as small as the inner dimension.

    Args:
        first: (out, in), or of a product (out, r).
        second: (r, in), or None.

    Returns:
        Its singular values and vectors in float32, as many as the least dimension. Of a product
        computed in float64, of a single matrix in float32.
    """
    if second is None:
        left, values, right = torch.linalg.svd(first.float(), full_matrices=False)
        return SingularValues(left, values, right)
    out, inner = torch.linalg.qr(first.double())
    into, other = torch.linalg.qr(second.double().T)
    left, values, right = torch.linalg.svd(inner @ other.T, full_matrices=False)
    return SingularValues((out @ left).float(), values.float(), (right @ into.T).float())
