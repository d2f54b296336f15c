from __future__ import annotations

import pytest
import torch

from sdtune.models.devices import chosen_device


def test_the_gpu_is_taken_where_there_is_one() -> None:
    assert chosen_device().type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert chosen_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda:77", "gpu", "xla"])
def test_one_that_is_not_here_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"another that torch finds here, but got `{name}`"):
        chosen_device(name)
