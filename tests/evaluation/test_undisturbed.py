import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch.plugins.precision import Precision

from sdtune.evaluation import undisturbed as module
from sdtune.evaluation.undisturbed import undisturbed
from tests.callbacks.fake_technique import FakeTechnique


@pytest.fixture
def trainer():
    return SimpleNamespace(precision_plugin=Precision())


def states():
    return torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state())


def test_modes_and_random_states_are_put_back(trainer):
    technique = FakeTechnique()
    technique.train()
    technique.model.vae.eval()
    modes = [module.training for module in technique.modules()]
    before = states()
    with undisturbed(trainer, technique):
        assert not any(module.training for module in technique.modules())
        assert not torch.is_grad_enabled()
        torch.rand(3), random.random(), np.random.rand()
    assert states() == before
    assert [module.training for module in technique.modules()] == modes
    assert torch.is_grad_enabled()


def test_parts_are_brought_to_the_training_device_and_back(trainer, monkeypatch):
    technique = FakeTechnique()
    vae, unet = technique.model.vae, technique.model.unet
    places = {vae: torch.device("cuda")}  # none is here, so the moves are only recorded
    moves = []

    def move(device):
        moves.append(device.type)
        places[vae] = device

    vae.to, unet.to = move, None
    monkeypatch.setattr(module, "_device", lambda part: places.get(part, torch.device("cpu")))
    with undisturbed(trainer, technique):
        assert moves == ["cpu"]
    assert moves == ["cpu", "cuda"]


def fail(trainer, technique):
    with undisturbed(trainer, technique):
        raise KeyboardInterrupt


def test_an_error_leaves_no_trace(trainer):
    technique = FakeTechnique().train()
    with pytest.raises(KeyboardInterrupt):
        fail(trainer, technique)
    assert technique.model.unet.training
    assert torch.is_grad_enabled()
