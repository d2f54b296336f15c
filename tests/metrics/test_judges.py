import pytest
import torch

from sdtune.metrics.judges import Judges, given


def test_networks_are_on_the_device_only_while_they_judge(clip, dino, monkeypatch):
    moves = []
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, device: moves.append(device))
    with Judges(clip, dino).on("cuda"):
        assert moves == ["cuda", "cuda"]
    assert moves == ["cuda", "cuda", "cpu", "cpu"]


def test_what_is_given_is_handed_on():
    assert given(3, "clip") == 3
    with pytest.raises(LookupError, match="asks for `clip`"):
        given(None, "clip")
