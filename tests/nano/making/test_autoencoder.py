"""nano's VAE: its loss, its measure, its training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sdtune.nano.making.autoencoder import NanoAutoencoderModule, laplacian, psnr
from sdtune.nano.making.scene_data import SceneDataModule
from tests.quiet_trainer import quiet_trainer


def test_psnr_is_its_formula() -> None:
    target = torch.zeros(2, 3, 4, 4)
    images = torch.stack([torch.full((3, 4, 4), 0.2), torch.full((3, 4, 4), 0.02)])
    torch.testing.assert_close(psnr(images, target), torch.tensor([20.0, 40.0]))


def test_the_laplacian_sees_edges_and_no_slopes() -> None:
    slope = torch.arange(8.0).expand(1, 2, 8, 8)
    assert laplacian(slope).abs().max() < 1e-5
    dot = torch.zeros(1, 1, 5, 5)
    dot[0, 0, 2, 2] = 1
    assert laplacian(dot)[0, 0].tolist() == [[0, 1, 0], [1, -4, 1], [0, 1, 0]]


@pytest.mark.slow
def test_training_reconstructs_better(sprites: Path) -> None:
    module = NanoAutoencoderModule(learning_rate=8e-3, block_out_channels=(8, 8, 16))
    data = SceneDataModule(str(sprites), batch_size=4, validation_scenes=8)
    (before,) = quiet_trainer().validate(module, data, verbose=False)
    quiet_trainer(max_steps=25).fit(module, data)
    (after,) = quiet_trainer().validate(module, data, verbose=False)
    assert after["val/psnr"] > before["val/psnr"] + 1.5
