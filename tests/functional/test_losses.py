from __future__ import annotations

import pytest
import torch

from sdtune.functional.losses import diffusion_loss, prior_preservation_loss


def test_loss_is_each_sample_s_mean_squared_error() -> None:
    target = torch.randn(3, 4, 8, 8)
    offsets = torch.tensor([0.0, 1.0, -2.0])
    loss = diffusion_loss(target + offsets[:, None, None, None], target)
    torch.testing.assert_close(loss, torch.tensor([0.0, 1.0, 4.0]))


def test_weights_scale_samples() -> None:
    model_pred, target = torch.randn(2, 3, 4, 8, 8)
    weights = torch.tensor([0.0, 0.5, 2.0])
    torch.testing.assert_close(
        diffusion_loss(model_pred, target, weights), diffusion_loss(model_pred, target) * weights
    )


def test_places_weigh_the_mean_and_not_its_scale() -> None:
    model_pred, target = torch.randn(2, 3, 4, 8, 8)
    places = torch.rand(3, 1, 8, 8)
    errors = (model_pred - target).square()
    expected = (places * errors).sum(dim=(1, 2, 3)) / (4 * places.sum(dim=(1, 2, 3)))
    loss = diffusion_loss(model_pred, target, None, places)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(diffusion_loss(model_pred, target, None, 0.1 * places), loss)
    ones = torch.ones(3, 1, 8, 8)
    plain = diffusion_loss(model_pred, target)
    torch.testing.assert_close(diffusion_loss(model_pred, target, None, ones), plain)
    few = torch.zeros(3, 1, 8, 8)
    few[..., :2, 3] = 1  # of an even error the loss is that error, however little counts
    torch.testing.assert_close(diffusion_loss(target + 2, target, None, few), 4 * torch.ones(3))


def test_where_nothing_counts_nothing_is_learned() -> None:
    model_pred = torch.randn(2, 4, 8, 8, requires_grad=True)
    places = torch.zeros(2, 1, 8, 8)
    places[0, :, :, :4] = 1
    loss = diffusion_loss(model_pred, torch.zeros(2, 4, 8, 8), None, places)
    loss.sum().backward()
    assert loss[1] == 0
    assert model_pred.grad is not None
    assert model_pred.grad[0, :, :, :4].abs().min() > 0
    assert not model_pred.grad[0, :, :, 4:].any()
    assert not model_pred.grad[1].any()


def test_half_precision_is_summed_in_float32() -> None:
    target = torch.zeros(1, 4, 64, 64, dtype=torch.float16)
    loss = diffusion_loss(target + 200.0, target)  # 200**2 is near float16's largest number
    assert loss.dtype == torch.float32
    assert loss.item() == 40000.0


def test_shapes_that_would_broadcast_are_refused() -> None:
    with pytest.raises(ValueError, match="Expected `target` to have the shape of `model_pred`"):
        diffusion_loss(torch.zeros(2, 4, 8, 8), torch.zeros(1, 4, 8, 8))


def test_prior_preservation_adds_the_class_loss_by_its_weight() -> None:
    instance_losses, class_losses = torch.tensor([1.0, 3.0]), torch.tensor([2.0, 4.0, 9.0])
    for weight, expected in ((0.0, 2.0), (1.0, 7.0), (0.5, 4.5)):
        loss = prior_preservation_loss(instance_losses, class_losses, weight)
        torch.testing.assert_close(loss, torch.tensor(expected))


def test_a_negative_prior_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="`prior_loss_weight` to be 0 or more, but got -1"):
        prior_preservation_loss(torch.zeros(2), torch.zeros(2), -1.0)
