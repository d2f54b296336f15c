"""What lies between the data's mean colour and the base's is found from what the two ask for."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from sdtune.functional import PredictionType, target_slope, training_target
from sdtune.techniques.colour_shift import ColourShift
from tests.evaluation.test_shared_drawing import in_processes

_ALPHAS = torch.linspace(0.999, 0.005, 1000)


def _random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("prediction_type", get_args(PredictionType))
def test_pictures_that_differ_by_a_colour_have_that_shift(prediction_type: PredictionType) -> None:
    """At any noise: what the base says is then what it would say of pictures of that colour."""
    colour = torch.tensor([1.0, -0.5, 0.0, 2.0])
    latents, noise, timesteps = _random(5, 4, 6, 6), _random(5, 4, 6, 7), torch.arange(990, 995)
    noise = noise[..., :6]
    signal = _ALPHAS[timesteps][:, None, None, None]
    noisy = signal.sqrt() * latents + (1.0 - signal).sqrt() * noise
    other = latents - colour[:, None, None]  # what the base takes the same noisy latents for
    other_noise = (noisy - signal.sqrt() * other) / (1.0 - signal).sqrt()
    wanted = training_target(latents, noise, timesteps, _ALPHAS, prediction_type)
    base = training_target(other, other_noise, timesteps, _ALPHAS, prediction_type)
    slopes = target_slope(timesteps, _ALPHAS, prediction_type)
    found = ColourShift().see(wanted - base, slopes, None)
    torch.testing.assert_close(base + found, wanted, rtol=1e-4, atol=1e-4)


def test_it_is_the_least_squares_of_all_samples_so_far() -> None:
    differences, slopes = _random(9, 3, 4, 5), _random(9)
    shift = ColourShift()
    shift.see(differences[:4], slopes[:4], None)
    assert shift.see(differences[:0], slopes[:0], None).shape == (0, 3, 1, 1)
    found = shift.see(differences[4:], slopes[4:], None)
    step = torch.linalg.lstsq(slopes[:, None], differences.mean(dim=(2, 3))).solution  # (1, 3)
    torch.testing.assert_close(found[:, :, 0, 0], slopes[4:, None] * step)


def test_half_precision_does_not_reach_the_sums() -> None:
    """Of many small steps a sum in half precision would miss most, under autocast too."""
    slopes, differences = torch.full((8,), -0.1), torch.full((8, 2, 4, 4), 0.05)
    shift = ColourShift()
    with torch.autocast("cpu", torch.bfloat16):
        for _ in range(500):
            shift.see(differences.bfloat16(), slopes, None)
    state = shift.state()
    assert state is not None
    assert state.dtype == torch.float32
    expected = [-400 * 0.05, -400 * 0.05, 40.0]
    torch.testing.assert_close(state, torch.tensor(expected), rtol=5e-3, atol=0)


def test_only_what_counts_of_a_picture_has_a_colour() -> None:
    differences, slopes = torch.zeros(3, 2, 4, 4), torch.ones(3)
    differences[0, :, :2], differences[1, :, :, :1] = 1.0, 3.0
    places = torch.zeros(3, 1, 4, 4)  # of the last one nothing counts
    places[0, :, :2], places[1, :, :, :1] = 0.5, 1.0
    assert ColourShift().see(differences, slopes, places).unique().tolist() == [2.0]
    assert ColourShift().see(differences[2:], slopes[2:], places[2:]).unique().tolist() == [0.0]


@pytest.mark.parametrize("lost", [float("nan"), float("inf")])
def test_a_number_that_is_lost_is_in_no_later_step(lost: float) -> None:
    differences, slopes = _random(4, 2, 3, 3), torch.ones(4)
    shift, without = ColourShift(), ColourShift()
    broken = differences.clone()
    broken[1, 0, 0, 0] = lost
    shift.see(broken, slopes, None)
    rows = [0, 2, 3]
    expected = without.see(differences[rows], slopes[rows], None)
    assert shift.see(differences[:0], slopes[:0], None).numel() == 0
    torch.testing.assert_close(shift.state(), without.state())
    assert expected.isfinite().all()


def test_all_processes_have_one(tmp_path: Path) -> None:
    differences, slopes = _random(5, 2, 3, 3), _random(5)
    expected = ColourShift()
    expected.see(differences, slopes, None)

    def work(_: object) -> None:
        rows = [[0, 1, 2, 3, 4], []][dist.get_rank()]  # the second has nothing above the level
        shift = ColourShift()
        shift.see(differences[rows], slopes[rows], None)
        state, whole = shift.state(), expected.state()
        assert state is not None
        torch.testing.assert_close(state, whole)

    assert in_processes(2, tmp_path, work) == [0, 0]


def test_it_goes_on_from_its_state() -> None:
    differences, slopes = _random(6, 2, 3, 3), _random(6)
    whole, first, then = ColourShift(), ColourShift(), ColourShift()
    assert first.state() is None
    for each in (whole, first):
        each.see(differences[:3], slopes[:3], None)
    then.restore(first.state())
    found = then.see(differences[3:], slopes[3:], None)
    assert found.equal(whole.see(differences[3:], slopes[3:], None))
