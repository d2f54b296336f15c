"""Looking at a model in training without leaving a trace in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from torch import nn

from sdtune.evaluation.technique import as_technique

__all__ = ["undisturbed"]


@contextmanager
def undisturbed(trainer: Trainer, pl_module: LightningModule) -> Iterator[None]:
    """Prepare a technique for sampling, and put everything back as it was.

    Inside, the weights are the average of those in training if there is one, and the model is in
    evaluation mode, whole on the training device (the VAE waits on the
    CPU while latents are cached), in the Trainer's precision and without gradients. Afterwards
    modes, devices and the random states of Python, NumPy and PyTorch are what they were, so
    that training goes on bit for bit as if nothing had happened.

    Args:
        trainer: The trainer, for its precision.
        pl_module: The technique.

    Yields:
        Nothing.
    """
    technique = as_technique(pl_module)
    model = technique.model
    modes = [(module, module.training) for module in pl_module.modules()]
    parts = cast(list[nn.Module], [model.unet, model.vae, *model.text_encoders])
    homes = [(part, _device(part)) for part in parts]
    pl_module.eval()
    try:
        with isolate_rng(), torch.no_grad(), trainer.precision_plugin.forward_context():
            for part, home in homes:
                if home != pl_module.device:
                    part.to(pl_module.device)
            with technique.averaged_weights():
                yield
    finally:
        for part, home in homes:
            if home != _device(part):
                part.to(home)
        for module, training in modes:
            module.training = training


def _device(module: nn.Module) -> torch.device:
    return next(module.parameters()).device
