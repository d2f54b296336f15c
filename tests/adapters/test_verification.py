import copy

import torch

from sdtune.adapters.lora import add_lora
from sdtune.adapters.verification import evaluating, prediction


def test_every_module_gets_its_own_mode_back(model):
    model.train()
    model.unet.conv_in.eval()
    modes = [module.training for module in model.modules()]
    with evaluating(model):
        assert not any(module.training for module in model.modules())
    assert [module.training for module in model.modules()] == modes


def test_predictions_are_the_same_until_a_weight_differs(model, train):
    other = copy.deepcopy(model)
    with evaluating(model), evaluating(other):
        first = prediction(model)
        torch.manual_seed(1)
        torch.testing.assert_close(prediction(other), first, rtol=0, atol=0)
        assert not first.requires_grad
        assert 0.1 < first.std() < 10
        add_lora(other, rank=2, alpha=2.0, text_encoder=True)
        train(other)
        assert (prediction(other) - first).abs().max() > 1e-3
