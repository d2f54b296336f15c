from __future__ import annotations

import pytest
import torch

from sdtune.functional.low_rank import singular_values


def _product(rank: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(7, rank, generator=generator), torch.randn(rank, 9, generator=generator)


@pytest.mark.parametrize("rank", [5, 12])
def test_a_product_has_the_singular_values_of_the_matrix(rank: int) -> None:
    up, down = _product(rank)
    found, dense = singular_values(up, down), singular_values(up @ down)
    assert len(found.values) == min(rank, 7)
    torch.testing.assert_close(found.values, dense.values[: len(found.values)])
    down_again, up_again = found.truncated(rank)
    torch.testing.assert_close(up_again @ down_again, up @ down)
    torch.testing.assert_close(up_again.norm(), down_again.norm())


def test_what_is_cut_off_is_the_smallest() -> None:
    up, down = _product()
    found = singular_values(up, down)
    narrow_down, narrow_up = found.truncated(2)
    assert (narrow_down.shape, narrow_up.shape) == ((2, 9), (7, 2))
    lost = (up @ down - narrow_up @ narrow_down).square().sum().item()
    assert lost == pytest.approx(found.square() - found.square(2), rel=1e-4)
    assert found.square() == pytest.approx((up @ down).square().sum().item(), rel=1e-5)


def test_the_least_rank_for_a_share() -> None:
    found = singular_values(torch.diag(torch.tensor([3.0, 2.0, 1.0])))  # squares 9, 4, 1
    assert [found.rank_of(share) for share in (0.1, 9 / 14, 0.65, 13 / 14, 1.0)] == [1, 1, 2, 2, 3]
    assert singular_values(torch.zeros(3, 3)).rank_of(0.5) >= 1
