from __future__ import annotations

import pytest
import torch
from torch import nn

from sdtune.models.devices import brought_to, chosen_device


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_gpu_is_taken_where_there_is_one(monkeypatch, device: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: device == "cuda")
    monkeypatch.setattr(torch, "empty", lambda *size, device: None)
    assert chosen_device().type == device
    assert chosen_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda:77", "gpu", "xla"])
def test_one_that_is_not_here_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"another that torch finds here, but got `{name}`"):
        chosen_device(name)


class _Part(nn.Linear):
    def __init__(self) -> None:
        super().__init__(1, 1)
        self.places: list[str] = []

    def to(self, device):
        self.places.append(str(device))
        return self


def test_parts_are_brought_and_taken_back():
    parts = [_Part(), _Part()]
    with brought_to(torch.device("cuda"), *parts):
        assert [each.places for each in parts] == [["cuda"], ["cuda"]]
    assert [each.places for each in parts] == [["cuda", "cpu"], ["cuda", "cpu"]]
