from __future__ import annotations

import torch

from sdtune.functional.tensor_bytes import bytes_of


def test_each_tensor_counts_once_by_its_type_with_values_or_without():
    half, whole = torch.zeros(5, dtype=torch.float16), torch.empty(2, 3, device="meta")
    assert bytes_of([half, whole, half]) == 5 * 2 + 2 * 3 * 4
